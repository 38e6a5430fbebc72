//! hotgate: a reverse proxy on io_uring, one runtime a core.
//!
//! # Floors
//!
//! A module may import from lower floors and from its own, never from a higher one and never sideways into another
//! module of the same floor; `tests/floors.rs` reads the sources and holds it.
//!
//! | floor | module | what it is for |
//! |---|---|---|
//! | 0 | [`http`] | what HTTP means (RFC 9110) |
//! | 1 | [`h1`] | how HTTP/1.1 is written (RFC 9112) |
//! | 2 | [`policy`], [`telemetry`] | what to do with a message; what to remember of it |
//! | 3 | [`config`] | TOML text to a checked configuration |
//! | 4 | [`net`] | sockets, tasks and time on the ring |
//! | 5 | [`tls`] | certificates, handshakes, and streams that are plain or encrypted |
//! | 6 | [`upstream`] | one worker's view of the origins |
//! | 7 | [`serve`] | the data plane |
//! | 8 | [`control`] | the control plane: its own thread |
//! | 9 | [`cli`] | one file a verb |
//!
//! Floors 0 to 3 are pure: octets, values and the time go in, values come out.
//!
//! # The life of a request
//!
//! | step | where | hands on |
//! |---|---|---|
//! | accept | `serve/worker`, `net/listener` | a stream and the peer's address |
//! | read head | `serve/head`, `h1/request` | a request head and what came behind it |
//! | frame | `h1/framing` | how the body is delimited |
//! | route | `serve/dispatch`, `policy/route` | the plan for this path, the path in its one form |
//! | connect | `serve/forward`, `upstream/pool` | a leased connection |
//! | relay | `serve/relay`, `upstream/reader` | octets, until the response is whole |
//! | log | `serve/exchange`, `telemetry/access` | one access record, whatever happened |
//! | again? | `policy/exchange` | keep both connections, close one, close both |
//!
//! # Glossary
//!
//! *downstream* and *upstream*: the client's side and the origin's side of hotgate, for both directions of flow.
//! (RFC 9110 §3.7 uses the words by the flow of a message.)
//! *exchange*: one request with its final response and any interim ones.
//! *endpoint*: one address that requests are forwarded to.
//! *slot*: an exchange's place in the FIFO of an upstream connection.
//! *worker*: one core's thread with its own ring, listeners and connections.
//! *snapshot*: all that a worker needs to know, immutable, published whole.
//! *to drain*: to accept no more, finish what is under way, and end.
//! *route*, *plan*: a path entry of a site; what is done with a request that it takes.
//! *reason*: why hotgate itself answered or gave up; from one fixed list.

pub mod http;

pub mod h1;

pub mod policy;
pub mod telemetry;

pub mod config;

pub mod net;

pub mod tls;

pub mod upstream;

pub mod serve;

pub mod control;

pub mod cli;
