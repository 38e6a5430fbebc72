//! The configurations of the proxies that are compared: the least that makes them alike.
//!
//! Alike means: the same forwarding fields are set, no access log, connections to the origin kept for more clients
//! than there are and never closed after some number of requests, no body ever written to a file, and one worker for
//! each core that the proxy has. All else is each proxy's own default. They are part of every report, so that who
//! knows a better one can say so.
//!
//! Over TLS: the same certificate, TLS 1.3 (which older nginx has to be told), sessions resumed by tickets. What version,
//! group and cipher suite it is the client says, who offers one of each. Whether sessions are stored beside is each proxy's
//! default: nginx and hotgate store none, HAProxy does. After a resumed handshake OpenSSL sends one ticket, hotgate two.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

use super::certificate::Certificate;
use crate::config::Backend;

/// What a proxy is to be set up for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup<'a> {
    /// Where it listens.
    pub(super) listen: SocketAddr,
    /// Where the origin does.
    pub(super) origin: SocketAddr,
    /// Workers, threads, or what it calls them.
    pub(super) workers: usize,
    /// Downstream connections that it has to carry.
    pub(super) connections: usize,
    /// The sites that it has.
    pub(super) sites: Sites,
    /// What it shows its clients, who speak TLS then.
    pub(super) tls: Option<&'a Certificate>,
}

/// The sites of a setup.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sites {
    /// One that takes every host.
    Any,
    /// So many, by name.
    Named(usize),
}

/// Idle connections to the origin that are kept: more than there are clients in any profile that asks at once.
const UPSTREAM_IDLE_MAX: usize = 1024;
/// The fields that hotgate sets by itself, in the words of nginx.
const NGINX_FIELDS: [(&str, &str); 7] = [
    ("Connection", "\"\""),
    ("Host", "$host"),
    ("X-Forwarded-For", "$remote_addr"),
    ("X-Forwarded-Proto", "$scheme"),
    ("X-Forwarded-Host", "$host"),
    ("X-Forwarded-Port", "$server_port"),
    ("X-Real-IP", "$remote_addr"),
];
/// The same in the words of HAProxy, which keeps the Host by itself, and the scheme beside them.
const HAPROXY_FIELDS: [(&str, &str); 4] = [
    ("X-Forwarded-For", "%[src]"),
    ("X-Forwarded-Host", "%[req.hdr(host)]"),
    ("X-Forwarded-Port", "%[dst_port]"),
    ("X-Real-IP", "%[src]"),
];
/// What nginx makes folders for, each with the module that does; a build may be without it.
const NGINX_FOLDERS: [(&str, Option<&str>); 5] = [
    ("client_body", None),
    ("proxy", None),
    ("fastcgi", Some("fastcgi")),
    ("uwsgi", Some("uwsgi")),
    ("scgi", Some("scgi")),
];

/// The name of a site, by number.
pub(super) fn site_name(number: usize) -> String {
    format!("site-{number}.bench.test")
}

/// nginx.conf. `built` is what `nginx -V` says; as root its workers stay root, so that they may enter `folder`.
pub(super) fn nginx(setup: &Setup<'_>, folder: &Path, built: &str, is_root: bool) -> String {
    let Setup {
        listen,
        origin,
        workers,
        connections,
        ..
    } = setup;
    let folder = folder.display();
    let mut text = String::new();
    if is_root {
        text += "user root root;\n";
    }
    // The origin's connections count as well; and when a sixteenth is all that is left, nginx closes idle ones.
    let connections = connections * 9 / 4 + 64;
    text += &format!(
        "worker_processes {workers};\ndaemon off;\npid {folder}/nginx-{port}.pid;\n\
         error_log {folder}/nginx-{port}.log;\n\
         events {{\n    worker_connections {connections};\n}}\n\
         http {{\n    access_log off;\n    keepalive_requests 1000000000;\n    keepalive_timeout 3600s;\n\
         \x20   client_max_body_size 0;\n",
        port = listen.port(),
    );
    for (name, module) in NGINX_FOLDERS {
        if module.is_none_or(|module| !built.contains(&format!("--without-http_{module}_module"))) {
            text += &format!("    {name}_temp_path {folder}/nginx-{name};\n");
        }
    }
    text += "    proxy_buffering on;\n    proxy_request_buffering off;\n    proxy_max_temp_file_size 0;\n\
             \x20   proxy_read_timeout 3600s;\n    proxy_send_timeout 3600s;\n    proxy_http_version 1.1;\n";
    for (name, value) in NGINX_FIELDS {
        text += &format!("    proxy_set_header {name} {value};\n");
    }
    text += &format!(
        "    upstream origin {{\n        server {origin};\n        keepalive {UPSTREAM_IDLE_MAX};\n\
         \x20       keepalive_requests 1000000000;\n        keepalive_timeout 3600s;\n    }}\n"
    );
    match setup.sites {
        Sites::Any => {
            text += &format!(
                "    server {{\n        listen {listen}{} reuseport backlog=4096;\n{}\
                 \x20       location / {{ proxy_pass http://origin; }}\n        location = /ws {{\n\
                 \x20           proxy_pass http://origin;\n            proxy_set_header Host $host;\n\
                 \x20           proxy_set_header Upgrade $http_upgrade;\n\
                 \x20           proxy_set_header Connection \"upgrade\";\n        }}\n    }}\n",
                if setup.tls.is_some() { " ssl" } else { "" },
                setup.tls.map_or(String::new(), nginx_tls),
            );
        }
        Sites::Named(count) => {
            text +=
                "    server_names_hash_max_size 65536;\n    server_names_hash_bucket_size 128;\n";
            for number in 0..count {
                // Options of a port stand once.
                let options = if number == 0 {
                    " reuseport backlog=4096"
                } else {
                    ""
                };
                text += &format!(
                    "    server {{ listen {listen}{options}; server_name {}; location / {{ proxy_pass http://origin; }} }}\n",
                    site_name(number)
                );
            }
        }
    }
    text + "}\n"
}

fn nginx_tls(certificate: &Certificate) -> String {
    format!(
        "        ssl_certificate {};\n        ssl_certificate_key {};\n        ssl_protocols TLSv1.2 TLSv1.3;\n\
         \x20       ssl_session_tickets on;\n",
        certificate.chain.display(),
        certificate.key.display()
    )
}

/// haproxy.cfg; `map` is the file that [`haproxy_map`] is written to.
pub(super) fn haproxy(setup: &Setup<'_>, map: &Path) -> String {
    let Setup {
        listen,
        origin,
        workers,
        connections,
        ..
    } = setup;
    let mut text = format!(
        "global\n    nbthread {workers}\n    maxconn {connections}\n\n\
         defaults\n    mode http\n    timeout connect 3s\n    timeout client 1h\n    timeout server 1h\n\
         \x20   timeout http-request 1h\n    timeout http-keep-alive 1h\n    timeout tunnel 1h\n\
         \x20   http-reuse always\n\n\
         frontend front\n    bind {listen} backlog 4096{}\n",
        setup.tls.map_or(String::new(), |certificate| {
            format!(" ssl crt {}", certificate.both.display())
        }),
    );
    let scheme = match setup.tls {
        None => "http",
        Some(_) => "https",
    };
    for (name, value) in HAPROXY_FIELDS
        .into_iter()
        .chain([("X-Forwarded-Proto", scheme)])
    {
        text += &format!("    http-request set-header {name} {value}\n");
    }
    text += &match setup.sites {
        Sites::Any => "    default_backend origin\n".to_owned(),
        Sites::Named(_) => format!(
            "    use_backend %[req.hdr(host),field(1,:),lower,map({})]\n",
            map.display()
        ),
    };
    text + &format!("\nbackend origin\n    server origin {origin}\n")
}

/// HAProxy's map from hosts to backends: what its manual says for many sites.
pub(super) fn haproxy_map(count: usize) -> String {
    let mut text = String::new();
    for number in 0..count {
        let _ = writeln!(text, "{} origin", site_name(number));
    }
    text
}

/// hotgate.toml.
pub(super) fn hotgate(setup: &Setup<'_>, backend: Backend, pipelines: bool) -> String {
    let backend = match backend {
        Backend::Auto => "auto",
        Backend::IoUring => "io_uring",
        Backend::Epoll => "epoll",
    };
    let doors = match setup.tls {
        None => format!("http = [\"{}\"]", setup.listen),
        // There is always a door for plain requests; this one nobody knows.
        Some(_) => format!("http = [\"127.0.0.1:0\"]\nhttps = [\"{}\"]", setup.listen),
    };
    let mut text = format!(
        "[server]\n{doors}\nworkers = {}\nbackend = \"{backend}\"\ndrain_timeout = \"1s\"\n\n\
         [log]\nlevel = \"warn\"\n\n[log.access]\npath = \"off\"\n\n",
        setup.workers
    );
    let origin = setup.origin.to_string();
    if pipelines {
        text += &format!("[upstreams.origin]\nservers = [\"{origin}\"]\npipeline = \"auto\"\n\n");
    }
    let target = if pipelines { "origin" } else { &origin };
    if let Some(certificate) = setup.tls {
        return text
            + &format!(
                "[sites.\"*\"]\nto = \"{target}\"\ntls = {{ cert = \"{}\", key = \"{}\" }}\n",
                certificate.chain.display(),
                certificate.key.display()
            );
    }
    text += "[sites]\n";
    match setup.sites {
        Sites::Any => text += &format!("\"*\" = \"{target}\"\n"),
        Sites::Named(count) => {
            for number in 0..count {
                text += &format!("\"http://{}\" = \"{target}\"\n", site_name(number));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Source, parse};

    fn setup(sites: Sites) -> Setup<'static> {
        Setup {
            listen: SocketAddr::from(([127, 0, 0, 1], 1001)),
            origin: SocketAddr::from(([127, 0, 0, 1], 1002)),
            workers: 2,
            connections: 500,
            sites,
            tls: None,
        }
    }

    #[test]
    fn ours_is_a_valid_configuration() {
        for sites in [Sites::Any, Sites::Named(3)] {
            for backend in [Backend::Auto, Backend::IoUring, Backend::Epoll] {
                for pipelines in [false, true] {
                    let text = hotgate(&setup(sites), backend, pipelines);
                    let config = parse(&[Source {
                        name: "bench",
                        text: &text,
                    }])
                    .expect("it is ours");
                    assert!(config.warnings.is_empty(), "{text}");
                }
            }
        }
    }

    #[test]
    fn all_show_the_same_certificate() {
        let certificate = Certificate::nowhere();
        let setup = Setup {
            tls: Some(&certificate),
            ..setup(Sites::Any)
        };
        for pipelines in [false, true] {
            let text = hotgate(&setup, Backend::IoUring, pipelines);
            let config = parse(&[Source {
                name: "bench",
                text: &text,
            }])
            .expect("it is ours");
            assert!(config.warnings.is_empty(), "{text}");
            assert!(text.contains("cert = \"/f/bench.pem\", key = \"/f/bench-key.pem\""));
        }
        let text = nginx(&setup, Path::new("/f"), "", false);
        for part in [
            "listen 127.0.0.1:1001 ssl reuseport",
            "ssl_certificate /f/bench.pem;",
            "ssl_certificate_key /f/bench-key.pem;",
            "TLSv1.3;",
        ] {
            assert!(text.contains(part), "no {part:?} in:\n{text}");
        }
        let text = haproxy(&setup, Path::new("/f/map"));
        for part in [
            "backlog 4096 ssl crt /f/bench-both.pem\n",
            "X-Forwarded-Proto https\n",
        ] {
            assert!(text.contains(part), "no {part:?} in:\n{text}");
        }
    }

    #[test]
    fn rivals_set_the_same_fields() {
        let (nginx, haproxy) = (
            nginx(&setup(Sites::Any), Path::new("/f"), "", false),
            haproxy(&setup(Sites::Any), Path::new("/f/map")),
        );
        let fields = HAPROXY_FIELDS.map(|(field, _)| field);
        for field in fields.into_iter().chain(["X-Forwarded-Proto"]) {
            assert!(
                nginx.contains(&format!("proxy_set_header {field} ")),
                "{field}"
            );
            assert!(
                haproxy.contains(&format!("http-request set-header {field} ")),
                "{field}"
            );
        }
        assert!(nginx.contains("worker_processes 2;") && haproxy.contains("nbthread 2\n"));
        assert!(nginx.contains("worker_connections 1189;") && haproxy.contains("maxconn 500\n"));
        assert!(!nginx.contains("user ") && !nginx.contains("ssl"));
        assert!(haproxy.contains("X-Forwarded-Proto http\n") && !haproxy.contains("ssl"));
    }

    #[test]
    fn nginx_is_asked_for_no_module_that_it_lacks() {
        let built = "configure arguments: --without-http_scgi_module";
        let text = nginx(&setup(Sites::Any), Path::new("/f"), built, true);
        assert!(text.starts_with("user root root;\n"));
        assert!(text.contains("uwsgi_temp_path") && !text.contains("scgi_temp_path /f/nginx-scgi"));
    }

    #[test]
    fn many_sites_have_each_a_name() {
        let setup = setup(Sites::Named(3));
        let text = nginx(&setup, Path::new("/f"), "", false);
        assert_eq!(text.matches("server_name site-").count(), 3);
        assert_eq!(text.matches(" reuseport").count(), 1);
        assert!(haproxy(&setup, Path::new("/f/map")).contains("map(/f/map)"));
        assert_eq!(
            haproxy_map(2),
            "site-0.bench.test origin\nsite-1.bench.test origin\n"
        );
    }
}
