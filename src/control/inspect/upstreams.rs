//! Do the targets take connections?

use std::thread;

use super::finding::{Finding, Mark};
use crate::config::Config;
use crate::control::live::{HANDSHAKE, Step, ask};
use crate::serve::explain::{Target, Upstream, upstreams_of};

/// Targets that are asked at the same time.
const AT_ONCE_MAX: usize = 16;

/// Connects to each target of a configuration once.
pub fn upstreams(config: &Config) -> Vec<Finding> {
    let limit = config.defaults.timeouts.connect;
    let targets = upstreams_of(config);
    let mut found = Vec::new();
    for some in targets.chunks(AT_ONCE_MAX) {
        thread::scope(|scope| {
            let asked: Vec<_> = some
                .iter()
                .map(|upstream| (upstream, scope.spawn(move || ask(upstream, limit, None))))
                .collect();
            for (upstream, steps) in asked {
                let steps = steps.join().unwrap_or_default();
                found.push(finding(upstream, &steps));
            }
        });
    }
    found
}

fn finding(upstream: &Upstream, steps: &[Step]) -> Finding {
    let subject = upstream.label.clone();
    let Some(last) = steps.last() else {
        return Finding::new(Mark::Warning, "upstream", subject, "could not be asked");
    };
    match &last.result {
        // That the name does not resolve is told of the name, with what to do.
        Err(why) if matches!(upstream.target, Target::Name(..)) && steps.len() == 1 => {
            Finding::new(Mark::Warning, "upstream", subject, why.clone())
        }
        Ok(_) => {
            let micros = last.took.as_micros();
            let does = match &upstream.tls {
                None => "takes connections",
                Some(tls) if tls.settings.verify => "takes connections, and is whom it has to be",
                Some(_) => "takes connections, whoever it is",
            };
            let what = format!("{does}, in {}.{:03} ms", micros / 1000, micros % 1000);
            Finding::new(Mark::Good, "upstream", subject, what)
        }
        Err(why) => {
            let mend = match &upstream.target {
                _ if last.what.starts_with(HANDSHAKE) => {
                    "mend the app's certificate, or `upstream_tls`: `ca` says whom to believe, `server_name` which name to expect"
                }
                Target::Unix(_) => {
                    "start the app, or mend the path in `to`; the service's user needs to write to the socket"
                }
                Target::Tcp(..) | Target::Name(..) => {
                    "start the app, or mend `to`; `ss -ltn` lists the addresses and ports that are listened on"
                }
                Target::BuiltIn => "",
            };
            Finding::new(Mark::Bad, "upstream", subject, why.clone()).mend(mend)
        }
    }
}
