//! Pipelining towards an upstream: who may share a connection, how deep, and when those behind move away.
//!
//! Many requests leave in one send and many responses come in one receive; that is what it is for. What it must never
//! do is make one client wait for another's slow answer, or an app serve its requests one by one where it would have
//! served them side by side. So the depth follows the app's service time, whatever looks slow leaves the line at once,
//! and whoever stands behind a stalled answer moves to another connection, once.
//!
//! If the depth errs on the deep side, fast requests wait in line; on the shallow side, a send costs more. So each
//! doubt is decided for the shallow side. (Rejected: a depth that grows while throughput does, as congestion control
//! has it: what is measured is then mostly the noise of the other workers.)
//!
//! Everything here is a value: moments are milliseconds of any one clock, durations nanoseconds.

use std::fmt;

use crate::h1::framing::Framing;
use crate::http::field_name::{FieldName, set_of};
use crate::http::fields::Fields;
use crate::http::message::RequestHead;
use crate::http::method::Method;

/// The deepest that a connection is ever used.
pub const DEPTH_MAX: u8 = 64;
/// The shallowest depth that can be asked for: one is no pipelining.
pub const DEPTH_MIN: u8 = 2;
/// All requests ahead of one may take so long together, as the app usually is: the batching threshold. Two
/// milliseconds are no more than a scheduler's slice; an app that takes longer for one request gains nothing by it.
const WAIT_NANOS_MAX: u64 = 2_000_000;
/// Connections of one worker to one endpoint that are shared before any is shared more than it must: an app with
/// several processes accepts on each.
const SHARED_MIN: usize = 4;
/// Samples that the usual service time is an average of.
const SAMPLES: u64 = 64;
/// How many times the usual service time an answer may stall.
const STALL_FACTOR: u64 = 8;
/// The shortest stall that counts, in milliseconds: a full turn of a busy worker takes a few, and a busy box takes ten from
/// an app now and then.
const STALL_MS_MIN: u64 = 20;
/// The longest that is waited for one, in milliseconds.
const STALL_MS_MAX: u64 = 100;
/// What a request that shares a connection earns and what a move costs: one in ten may move.
const MOVE_COST: u32 = 10;
/// Credit that is kept: so many moves may come at once. A machine that stops for a moment stalls four full lines.
const CREDIT_MAX: u32 = 512 * MOVE_COST;
/// Credit to begin with: the first stall is not yet a habit.
const CREDIT_START: u32 = 8 * MOVE_COST;
/// How long pipelining is off once the credit is spent.
const OFF_MS: u64 = 30_000;
/// A response whose content is longer leaves the line: it is a transfer.
const CONTENT_BYTES_MAX: u64 = 64 << 10;

/// What an upstream's `pipeline` says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Pipeline {
    /// Never two outstanding requests on a connection.
    #[default]
    Off,
    /// As deep as the app's service time allows.
    Auto,
    /// So deep, from [`DEPTH_MIN`] to [`DEPTH_MAX`], while nothing stalls.
    Depth(u8),
}

impl fmt::Display for Pipeline {
    /// As it is written, without quotes: `off`, `auto`, `8`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pipeline::Off => f.write_str("off"),
            Pipeline::Auto => f.write_str("auto"),
            Pipeline::Depth(depth) => depth.fmt(f),
        }
    }
}

/// May this request share a connection? Only one that can be sent again unseen, whose answer is not about a part or a
/// condition, and that leaves the connection as it was.
pub fn may_share(head: &RequestHead, octets: &[u8], framing: Framing, asks_upgrade: bool) -> bool {
    const ALONE: u128 = set_of(&[
        FieldName::Expect,
        FieldName::Range,
        FieldName::IfRange,
        FieldName::IfMatch,
        FieldName::IfNoneMatch,
        FieldName::IfModifiedSince,
        FieldName::IfUnmodifiedSince,
        FieldName::ProxyAuthorization,
    ]);
    head.method == Method::Get
        && framing == Framing::None
        && !asks_upgrade
        && !head.fields.has_any(ALONE)
        && !is_bound_to_connection(&head.fields, octets)
}

/// Do the credentials speak of the connection instead of the request (NTLM and Negotiate do)?
fn is_bound_to_connection(fields: &Fields, octets: &[u8]) -> bool {
    let Some(value) = fields.first(octets, FieldName::Authorization) else {
        return false;
    };
    let scheme = value.split(|octet| *octet == b' ').next().unwrap_or(value);
    let is_of_the_request = |known: &&[u8]| scheme.eq_ignore_ascii_case(known);
    ![&b"Basic"[..], b"Bearer"].iter().any(is_of_the_request)
}

/// Must whoever stands behind this response leave at once? `persists`: the connection does after it, as no HTTP/1.0
/// one ever does here; `is_whole`: all of it came with its head.
pub fn ends_line(persists: bool, framing: Framing, is_whole: bool) -> bool {
    match framing {
        _ if !persists => true,
        Framing::None => false,
        Framing::Length(length) => length > CONTENT_BYTES_MAX,
        // One that is not here whole is being made: who knows how long that takes.
        Framing::Chunked => !is_whole,
        Framing::UntilClose => true,
    }
}

/// How a connection that may be shared stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Load {
    /// Requests whose responses are still to come.
    pub outstanding: usize,
    /// A request waits to be sent: another would leave with it.
    pub is_gathering: bool,
}

/// Where a request that may share goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Choice {
    /// Behind the others on this connection (a place in the list).
    Join(usize),
    /// To a connection that nobody uses.
    Alone,
}

/// Chooses among the connections in use. One that is gathering costs nothing to join; else a request begins a line
/// of its own until there are `SHARED_MIN`, and then joins the shortest.
pub fn choose(shared: impl Iterator<Item = Load>, depth: usize) -> Choice {
    let (mut shortest, mut count) = (None, 0);
    for (place, load) in shared.enumerate() {
        count += 1;
        if load.outstanding >= depth {
            continue;
        }
        if load.is_gathering {
            return Choice::Join(place);
        }
        if shortest.is_none_or(|(least, _)| load.outstanding < least) {
            shortest = Some((load.outstanding, place));
        }
    }
    match shortest {
        Some((_, place)) if count >= SHARED_MIN => Choice::Join(place),
        Some(_) | None => Choice::Alone,
    }
}

/// What one worker has learnt of one endpoint.
#[derive(Clone, Debug)]
pub struct Controller {
    /// The usual service time; 0 before the first sample.
    service_nanos: u64,
    /// Earned by sharing, spent by moving.
    credit: u32,
    /// Until when nothing is shared.
    off_until_ms: u64,
}

impl Default for Controller {
    fn default() -> Controller {
        Controller {
            service_nanos: 0,
            credit: CREDIT_START,
            off_until_ms: 0,
        }
    }
}

impl Controller {
    /// How many requests a connection may have outstanding now; 1 is no sharing.
    pub fn depth(&self, pipeline: Pipeline, now_ms: u64) -> usize {
        if now_ms < self.off_until_ms {
            return 1;
        }
        match pipeline {
            Pipeline::Off => 1,
            Pipeline::Depth(depth) => usize::from(depth),
            Pipeline::Auto if self.service_nanos == 0 => 1,
            Pipeline::Auto => {
                let fitting = WAIT_NANOS_MAX / self.service_nanos;
                usize::try_from(fitting.clamp(1, u64::from(DEPTH_MAX))).unwrap_or(1)
            }
        }
    }

    /// A response's head came `waited_nanos` after its request was queued behind `ahead` others.
    pub fn learn(&mut self, waited_nanos: u64, ahead: usize) {
        let each = (waited_nanos / (ahead as u64 + 1)).max(1);
        self.service_nanos = match self.service_nanos {
            0 => each,
            usual => (usual - usual / SAMPLES + each / SAMPLES).max(1),
        };
    }

    /// The usual service time.
    pub fn service_nanos(&self) -> u64 {
        self.service_nanos
    }

    /// How long an answer may make no progress before those behind it move, in milliseconds.
    pub fn stall_ms(&self) -> u64 {
        (self.service_nanos.saturating_mul(STALL_FACTOR) / 1_000_000)
            .clamp(STALL_MS_MIN, STALL_MS_MAX)
    }

    /// A request shares a connection.
    pub fn joined(&mut self) {
        self.credit = (self.credit + 1).min(CREDIT_MAX);
    }

    /// So many requests had to move. When that is more than was earned, nothing is shared for a while.
    pub fn moved(&mut self, count: usize, now_ms: u64) {
        let cost = u32::try_from(count)
            .unwrap_or(u32::MAX)
            .saturating_mul(MOVE_COST);
        match self.credit.checked_sub(cost) {
            Some(left) => self.credit = left,
            None => {
                self.credit = 0;
                self.off_until_ms = now_ms.saturating_add(OFF_MS);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::field_lines::{HeadLimits, Progress};
    use crate::h1::request::RequestParser;

    #[track_caller]
    fn check_share(request: &str, expected: bool) {
        let octets = request.as_bytes();
        let limits = HeadLimits {
            head_bytes: 4096,
            fields: 32,
        };
        let mut parser = RequestParser::new();
        assert_eq!(parser.parse(octets, &limits), Ok(Progress::Complete));
        let framing = crate::h1::framing::of_request(&parser.head, octets).expect("well framed");
        assert_eq!(may_share(&parser.head, octets, framing, false), expected);
        assert!(
            !may_share(&parser.head, octets, framing, true),
            "an upgrade"
        );
    }

    #[test]
    fn who_may_share() {
        let with = |line: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n");
        check_share(&with(""), true);
        check_share(&with("Cookie: a=b\r\nAccept: */*\r\n"), true);
        check_share(&with("Authorization: Basic YTpi\r\n"), true);
        check_share(&with("Authorization: bearer x\r\n"), true);
        check_share(&with("Authorization: Negotiate x\r\n"), false);
        check_share(&with("Authorization: NTLM\r\n"), false);
        check_share(&with("Authorization:\r\n"), false);
        check_share(&with("Range: bytes=0-1\r\n"), false);
        check_share(&with("If-None-Match: \"x\"\r\n"), false);
        check_share(&with("If-Modified-Since: x\r\n"), false);
        check_share(&with("If-Match: *\r\n"), false);
        check_share(&with("If-Unmodified-Since: x\r\n"), false);
        check_share(&with("If-Range: x\r\n"), false);
        check_share(&with("Expect: 100-continue\r\n"), false);
        check_share(&with("Content-Length: 1\r\n"), false);
        check_share("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", false);
        check_share(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            false,
        );
        check_share("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", false);
    }

    #[test]
    fn which_responses_end_the_line() {
        use Framing::{Chunked, Length, None, UntilClose};
        let cases = [
            (true, None, true, false),
            (true, Length(0), true, false),
            (true, Length(64 << 10), false, false),
            (true, Length((64 << 10) + 1), false, true),
            (true, Chunked, true, false),
            (true, Chunked, false, true),
            (true, UntilClose, false, true),
            (false, Length(5), true, true),
        ];
        for (persists, framing, is_whole, expected) in cases {
            let ends = ends_line(persists, framing, is_whole);
            assert_eq!(ends, expected, "{persists} {framing:?} {is_whole}");
        }
    }

    #[test]
    fn a_gathering_line_is_joined_first_and_the_shortest_last() {
        let line = |outstanding, is_gathering| Load {
            outstanding,
            is_gathering,
        };
        let check = |loads: &[Load], depth, expected| {
            assert_eq!(choose(loads.iter().copied(), depth), expected, "{loads:?}");
        };
        check(&[], 8, Choice::Alone);
        check(&[line(1, true)], 1, Choice::Alone);
        check(&[line(1, true)], 2, Choice::Join(0));
        check(&[line(2, true)], 2, Choice::Alone);
        check(&[line(1, false)], 8, Choice::Alone);
        check(&[line(1, false), line(7, true)], 8, Choice::Join(1));
        let four = [
            line(3, false),
            line(2, false),
            line(2, false),
            line(8, true),
        ];
        check(&four, 8, Choice::Join(1));
        check(&four, 2, Choice::Alone);
    }

    #[test]
    fn the_depth_follows_the_service_time() {
        let of = |nanos: u64| {
            let mut controller = Controller::default();
            controller.learn(nanos, 0);
            controller
        };
        assert_eq!(Controller::default().depth(Pipeline::Auto, 0), 1);
        assert_eq!(of(10_000).depth(Pipeline::Auto, 0), 64);
        assert_eq!(of(500_000).depth(Pipeline::Auto, 0), 4);
        assert_eq!(of(1_500_000).depth(Pipeline::Auto, 0), 1);
        assert_eq!(of(10_000).depth(Pipeline::Off, 0), 1);
        assert_eq!(of(9_000_000).depth(Pipeline::Depth(8), 0), 8);
        // Those ahead had their share of the wait.
        let mut queued = Controller::default();
        queued.learn(100_000, 9);
        assert_eq!(queued.service_nanos(), 10_000);
    }

    #[test]
    fn one_slow_answer_among_fast_ones_ends_sharing_for_a_while() {
        let mut controller = Controller::default();
        (0..100).for_each(|_| controller.learn(20_000, 0));
        assert_eq!(controller.depth(Pipeline::Auto, 0), 64);
        controller.learn(2_000_000_000, 0);
        assert_eq!(controller.depth(Pipeline::Auto, 0), 1);
        (0..400).for_each(|_| controller.learn(20_000, 0));
        assert!(controller.depth(Pipeline::Auto, 0) > 8);
    }

    #[test]
    fn moves_draw_on_what_sharing_earned() {
        let mut controller = Controller::default();
        (0..100).for_each(|_| controller.joined());
        controller.moved(10 + 8, 1_000);
        assert_eq!(controller.depth(Pipeline::Depth(8), 1_000), 8);
        controller.moved(1, 1_000);
        assert_eq!(controller.depth(Pipeline::Depth(8), 30_999), 1);
        assert_eq!(controller.depth(Pipeline::Depth(8), 31_000), 8);
    }

    #[test]
    fn a_stall_is_a_few_times_the_usual_time_within_bounds() {
        let of = |nanos: u64| {
            let mut controller = Controller::default();
            controller.learn(nanos, 0);
            controller.stall_ms()
        };
        assert_eq!(of(1_000), 20);
        assert_eq!(of(5_000_000), 40);
        assert_eq!(of(1_000_000_000), 100);
    }
}
