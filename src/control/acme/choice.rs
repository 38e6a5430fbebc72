//! Which challenge an order goes by. Pure.

use std::fmt;

use crate::config::{ChallengeChoice, Config, ListenerKind};
use crate::control::certificates::name::CertName;

/// How control of a name is shown.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// RFC 8555 §8.3: a token on port 80.
    Http01,
    /// RFC 8737: a certificate on port 443.
    TlsAlpn01,
    /// RFC 8555 §8.4: a TXT record.
    Dns01,
}

impl Kind {
    /// As the protocol names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Http01 => "http-01",
            Kind::TlsAlpn01 => "tls-alpn-01",
            Kind::Dns01 => "dns-01",
        }
    }

    /// Reads [`Kind::as_str`].
    pub fn parse(text: &str) -> Option<Kind> {
        [Kind::Http01, Kind::TlsAlpn01, Kind::Dns01]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What this process has to show control with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Means {
    /// A plain listener.
    pub http: Port,
    /// A listener of TLS.
    pub tls: Port,
    /// `[acme.dns]`.
    pub has_dns: bool,
}

/// How a port for challenges stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Port {
    /// No listener of the kind at all.
    Absent,
    /// On other ports only; one of these may be where a router or a container engine leads the right one.
    Elsewhere,
    /// Held.
    Held,
}

/// The port that http-01 is validated on (RFC 8555 §8.3).
const HTTP_PORT: u16 = 80;
/// The port that tls-alpn-01 is validated on (RFC 8737 §3).
const TLS_PORT: u16 = 443;

impl Means {
    /// Those that a configuration gives.
    pub fn of(config: &Config) -> Means {
        let (mut http, mut tls) = (Port::Absent, Port::Absent);
        for listener in config.listeners() {
            let (port, wanted) = match listener.kind {
                ListenerKind::Plain => (&mut http, HTTP_PORT),
                ListenerKind::Tls => (&mut tls, TLS_PORT),
            };
            let found = match listener.address.port() == wanted {
                true => Port::Held,
                false => Port::Elsewhere,
            };
            *port = (*port).max(found);
        }
        Means {
            http,
            tls,
            has_dns: config.acme.dns.is_some(),
        }
    }
}

/// Why no challenge can work here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hopeless {
    /// A wildcard can be shown to be ours by dns-01 alone, and nobody is named who writes its records.
    WildcardWithoutDns,
    /// A wildcard can be shown to be ours by dns-01 alone, and the file asks for another challenge.
    WildcardBy(Kind),
    /// An address has no records.
    AddressByDns,
    /// The file asks for dns-01, and nobody is named who writes the records.
    NoDns,
    /// The file asks for this challenge, and there is no listener that could answer it.
    NoListener(Kind),
    /// Neither port 80 nor port 443 is ours, and nobody is named who writes records.
    NoPort,
}

impl fmt::Display for Hopeless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hopeless::WildcardWithoutDns => f.write_str(
                "a wildcard certificate needs the dns-01 challenge; set [acme.dns] with a provider",
            ),
            Hopeless::WildcardBy(kind) => write!(
                f,
                "a wildcard certificate cannot be had by {kind}; set acme.challenge = \"auto\" and [acme.dns]"
            ),
            Hopeless::AddressByDns => f.write_str(
                "an address cannot be shown to be ours by dns-01; set acme.challenge = \"auto\"",
            ),
            Hopeless::NoDns => f.write_str(
                "acme.challenge is \"dns-01\" and there is no [acme.dns]; name the provider of the records there",
            ),
            Hopeless::NoListener(kind) => {
                let (key, port) = match kind {
                    Kind::Http01 | Kind::Dns01 => ("http", HTTP_PORT),
                    Kind::TlsAlpn01 => ("https", TLS_PORT),
                };
                write!(
                    f,
                    "acme.challenge is \"{kind}\" and there is no listener that could answer it; set server.{key} = [\":{port}\"]"
                )
            }
            Hopeless::NoPort => f.write_str(
                "the authority connects to port 80 or 443 and hotgate listens on neither; set server.http = [\":80\"], \
                 or set [acme.dns], or, where another port is led here, set acme.challenge",
            ),
        }
    }
}

/// The challenges to be tried for a name, in order; never empty.
///
/// What the file names is tried alone, on whatever port there is: a router may lead the right one here. Left to us,
/// what worked before comes first, then http-01 (it works behind a CDN too), tls-alpn-01, dns-01, each where the port
/// is held.
///
/// # Errors
///
/// [`Hopeless`]: none can work.
pub fn candidates(
    choice: ChallengeChoice,
    name: &CertName,
    means: Means,
    worked: Option<Kind>,
) -> Result<Vec<Kind>, Hopeless> {
    let is_wildcard = matches!(name, CertName::Wildcard(_));
    let is_address = name.base().ip().is_some();
    let fixed = match choice {
        ChallengeChoice::Auto => {
            return by_ourselves(is_wildcard, is_address, means, worked);
        }
        ChallengeChoice::Http01 => Kind::Http01,
        ChallengeChoice::TlsAlpn01 => Kind::TlsAlpn01,
        ChallengeChoice::Dns01 => Kind::Dns01,
    };
    let hopeless = match fixed {
        Kind::Dns01 if is_address => Some(Hopeless::AddressByDns),
        Kind::Dns01 if !means.has_dns => Some(Hopeless::NoDns),
        Kind::Dns01 => None,
        Kind::Http01 | Kind::TlsAlpn01 if is_wildcard => Some(Hopeless::WildcardBy(fixed)),
        Kind::Http01 => (means.http == Port::Absent).then_some(Hopeless::NoListener(fixed)),
        Kind::TlsAlpn01 => (means.tls == Port::Absent).then_some(Hopeless::NoListener(fixed)),
    };
    hopeless.map_or(Ok(vec![fixed]), Err)
}

fn by_ourselves(
    is_wildcard: bool,
    is_address: bool,
    means: Means,
    worked: Option<Kind>,
) -> Result<Vec<Kind>, Hopeless> {
    let may = |kind: &Kind| match kind {
        Kind::Http01 => means.http == Port::Held && !is_wildcard,
        Kind::TlsAlpn01 => means.tls == Port::Held && !is_wildcard,
        Kind::Dns01 => means.has_dns && !is_address,
    };
    let mut kinds: Vec<Kind> = [Kind::Http01, Kind::TlsAlpn01, Kind::Dns01]
        .into_iter()
        .filter(may)
        .collect();
    // Stable: the others keep their order.
    kinds.sort_by_key(|kind| Some(*kind) != worked);
    match kinds.is_empty() {
        false => Ok(kinds),
        true if is_wildcard => Err(Hopeless::WildcardWithoutDns),
        true => Err(Hopeless::NoPort),
    }
}

#[cfg(test)]
mod tests {
    use super::Kind::*;
    use super::Port::*;
    use super::*;
    use crate::config::{ListenAddress, Source, parse};

    const HOST: &str = "a.example.com";
    const WILD: &str = "*.example.com";
    const ADDRESS: &str = "203.0.113.7";

    #[test]
    #[rustfmt::skip]
    fn what_is_tried() {
        use ChallengeChoice as C;
        //    choice        name     http       tls        dns    worked           tried
        check(C::Auto,      HOST,    Held,      Held,      true,  None,            Ok(&[Http01, TlsAlpn01, Dns01]));
        check(C::Auto,      HOST,    Held,      Held,      false, Some(TlsAlpn01), Ok(&[TlsAlpn01, Http01]));
        check(C::Auto,      HOST,    Elsewhere, Held,      false, None,            Ok(&[TlsAlpn01]));
        check(C::Auto,      HOST,    Held,      Absent,    false, Some(TlsAlpn01), Ok(&[Http01]));
        check(C::Auto,      HOST,    Elsewhere, Elsewhere, true,  None,            Ok(&[Dns01]));
        check(C::Auto,      HOST,    Elsewhere, Elsewhere, false, None,            Err(Hopeless::NoPort));
        check(C::Auto,      WILD,    Held,      Held,      true,  Some(Http01),    Ok(&[Dns01]));
        check(C::Auto,      WILD,    Held,      Held,      false, None,            Err(Hopeless::WildcardWithoutDns));
        check(C::Auto,      ADDRESS, Held,      Absent,    true,  None,            Ok(&[Http01]));
        check(C::Auto,      ADDRESS, Absent,    Absent,    true,  None,            Err(Hopeless::NoPort));
        check(C::Http01,    HOST,    Held,      Held,      true,  Some(Dns01),     Ok(&[Http01]));
        check(C::Http01,    HOST,    Elsewhere, Held,      true,  None,            Ok(&[Http01]));
        check(C::Http01,    HOST,    Absent,    Held,      true,  None,            Err(Hopeless::NoListener(Http01)));
        check(C::Http01,    WILD,    Held,      Held,      true,  None,            Err(Hopeless::WildcardBy(Http01)));
        check(C::TlsAlpn01, HOST,    Held,      Elsewhere, false, None,            Ok(&[TlsAlpn01]));
        check(C::TlsAlpn01, HOST,    Held,      Absent,    false, None,            Err(Hopeless::NoListener(TlsAlpn01)));
        check(C::TlsAlpn01, WILD,    Held,      Held,      false, None,            Err(Hopeless::WildcardBy(TlsAlpn01)));
        check(C::Dns01,     HOST,    Absent,    Absent,    true,  None,            Ok(&[Dns01]));
        check(C::Dns01,     WILD,    Absent,    Absent,    true,  None,            Ok(&[Dns01]));
        check(C::Dns01,     HOST,    Held,      Held,      false, None,            Err(Hopeless::NoDns));
        check(C::Dns01,     ADDRESS, Held,      Held,      true,  None,            Err(Hopeless::AddressByDns));
    }

    #[track_caller]
    fn check(
        choice: ChallengeChoice,
        name: &str,
        http: Port,
        tls: Port,
        has_dns: bool,
        worked: Option<Kind>,
        expected: Result<&[Kind], Hopeless>,
    ) {
        let name = CertName::parse(name).expect("a name");
        let found = candidates(choice, &name, Means { http, tls, has_dns }, worked);
        assert_eq!(found.as_deref().map_err(|hopeless| *hopeless), expected);
        if let Err(hopeless) = found {
            let text = hopeless.to_string();
            assert!(
                text.contains("set ") || text.contains("name the provider"),
                "{text}"
            );
        }
    }

    #[test]
    fn means_are_the_listeners_ports() {
        let text = "[sites]\n\"a.example.com\" = 3000";
        let parsed = parse(&[Source { name: "f", text }]);
        let mut config = parsed.unwrap_or_else(|errors| panic!("{}", errors[0]));
        let ports = |ports: &[u16]| -> Vec<ListenAddress> {
            ports
                .iter()
                .map(|port| ListenAddress::Any { port: *port })
                .collect()
        };
        #[rustfmt::skip]
        let rows: [(&[u16], &[u16], Port, Port); 4] = [
            (&[80],       &[443],       Held,      Held),
            (&[8080],     &[8443],      Elsewhere, Elsewhere),
            (&[8080, 80], &[],          Held,      Port::Absent),
            (&[],         &[8443, 443], Port::Absent, Held),
        ];
        for (plain, secure, http, tls) in rows {
            config.server.http = ports(plain);
            config.server.https = ports(secure);
            let expected = Means {
                http,
                tls,
                has_dns: false,
            };
            assert_eq!(Means::of(&config), expected, "{plain:?} {secure:?}");
        }
    }

    #[test]
    fn kinds_have_names() {
        for kind in [Http01, TlsAlpn01, Dns01] {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(Kind::parse("http-02"), None);
    }
}
