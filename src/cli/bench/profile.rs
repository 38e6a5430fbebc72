//! The profiles: what is asked of the proxies, and in which way.

use clap::ValueEnum;

use super::load::Traffic;

/// One kind of work.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Profile {
    /// Small answers on kept connections: as fast as they go, and at 70 % of nginx's rate
    Keepalive,
    /// Answers of 64 KiB
    #[value(name = "body-64k")]
    Body64k,
    /// Answers of 1 MiB
    #[value(name = "body-1m")]
    Body1m,
    /// Request bodies of 1 MiB
    #[value(name = "upload-1m")]
    Upload1m,
    /// A connection for each request
    NewConnection,
    /// Small answers on kept connections over TLS
    TlsKeepalive,
    /// A connection over TLS for each request: full handshakes, and resumed ones
    TlsHandshake,
    /// Answers of 1 MiB over TLS
    #[value(name = "tls-body-1m")]
    TlsBody1m,
    /// Small answers at a rate that keeps nobody busy
    Latency,
    /// Memory of ten thousand idle connections, fresh and after all were busy at once
    #[value(name = "idle-10k")]
    Idle10k,
    /// Ten thousand sites beside one
    #[value(name = "sites-10k")]
    Sites10k,
    /// Memory of idle WebSockets
    WebsocketIdle,
    /// Memory after a start with two workers
    Start,
}

/// Sites of `sites-10k`.
pub(super) const SITES: usize = 10_000;
/// Requests a second of `latency`, for each worker.
pub(super) const LATENCY_RATE: f64 = 1000.0;
/// The share of nginx's rate at which `keepalive` is measured once more.
pub(super) const PACED_SHARE: f64 = 0.7;
/// Workers of `start`.
pub(super) const START_WORKERS: usize = 2;
/// Rounds of profiles that weigh memory: it hardly differs from one start to the next.
pub(super) const WEIGHINGS_MAX: usize = 3;

impl Profile {
    /// As it is named on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Profile::Keepalive => "keepalive",
            Profile::Body64k => "body-64k",
            Profile::Body1m => "body-1m",
            Profile::Upload1m => "upload-1m",
            Profile::NewConnection => "new-connection",
            Profile::TlsKeepalive => "tls-keepalive",
            Profile::TlsHandshake => "tls-handshake",
            Profile::TlsBody1m => "tls-body-1m",
            Profile::Latency => "latency",
            Profile::Idle10k => "idle-10k",
            Profile::Sites10k => "sites-10k",
            Profile::WebsocketIdle => "websocket-idle",
            Profile::Start => "start",
        }
    }

    /// What is asked for.
    pub(super) fn traffic(self) -> Traffic {
        match self {
            Profile::Body64k => Traffic::Octets(64 << 10),
            Profile::Body1m | Profile::TlsBody1m => Traffic::Octets(1 << 20),
            Profile::Upload1m => Traffic::Upload(1 << 20),
            Profile::NewConnection | Profile::TlsHandshake => Traffic::Closing,
            Profile::Sites10k => Traffic::Hosts(SITES),
            Profile::Keepalive
            | Profile::TlsKeepalive
            | Profile::Latency
            | Profile::Idle10k
            | Profile::WebsocketIdle
            | Profile::Start => Traffic::Small,
        }
    }

    /// Connections that ask; `keepalive` is told how many.
    pub(super) fn clients(self) -> usize {
        match self {
            Profile::Body1m
            | Profile::TlsBody1m
            | Profile::TlsHandshake
            | Profile::Upload1m
            | Profile::Latency => 16,
            Profile::Keepalive
            | Profile::TlsKeepalive
            | Profile::Body64k
            | Profile::NewConnection
            | Profile::Sites10k
            | Profile::Idle10k
            | Profile::WebsocketIdle
            | Profile::Start => 64,
        }
    }

    /// Does wrk make its load?
    pub(super) fn needs_wrk(self) -> bool {
        match self {
            Profile::Keepalive
            | Profile::Body64k
            | Profile::Body1m
            | Profile::Upload1m
            | Profile::NewConnection
            | Profile::TlsKeepalive
            | Profile::TlsBody1m
            | Profile::Sites10k => true,
            Profile::TlsHandshake
            | Profile::Latency
            | Profile::Idle10k
            | Profile::WebsocketIdle
            | Profile::Start => false,
        }
    }

    /// Is some of its load at a fixed rate?
    pub(super) fn is_paced(self) -> bool {
        matches!(self, Profile::Keepalive | Profile::Latency)
    }

    /// Is hotgate asked twice, once with pipelining?
    pub(super) fn has_pipelining(self) -> bool {
        matches!(self, Profile::Keepalive | Profile::TlsKeepalive)
    }

    /// Do its clients speak TLS?
    pub(super) fn is_over_tls(self) -> bool {
        matches!(
            self,
            Profile::TlsKeepalive | Profile::TlsHandshake | Profile::TlsBody1m
        )
    }

    /// Can its clients be made to speak TLS?
    pub(super) fn may_be_over_tls(self) -> bool {
        self == Profile::Idle10k
    }

    /// Does it weigh memory, without load?
    pub(super) fn is_weighing(self) -> bool {
        matches!(
            self,
            Profile::Idle10k | Profile::WebsocketIdle | Profile::Start
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_command_line() {
        for profile in Profile::value_variants() {
            let value = profile.to_possible_value().expect("none is hidden");
            assert_eq!(value.get_name(), profile.name());
            assert_eq!(profile.name().starts_with("tls-"), profile.is_over_tls());
        }
    }
}
