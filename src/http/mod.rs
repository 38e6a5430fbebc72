//! What HTTP means, whatever version writes it (RFC 9110). Floor 0: imports nothing of ours.
//!
//! ```text
//!   chars                                byte classes
//!     ├── fields ── field_name           field lines as ranges into the head's buffer
//!     │     ├── hop_by_hop               which of them stop here
//!     │     └── forwarding               which of them are believed, and whose request it is
//!     ├── authority                      host[:port] in one form
//!     └── target ── path, path_readings  the four target forms; the path in one form
//!   method  status  date                 values without parts
//!   message                              all of it together: a head
//! ```
//!
//! Invariants: values hold ranges or inline octets, never borrowed bytes, so a head outlives the move of
//! its buffer; nothing here allocates but a caller's scratch; there is one normal form of a host and of
//! a path, and every comparison is between normal forms.

pub mod authority;
pub mod chars;
pub mod date;
pub mod field_name;
pub mod fields;
pub mod forwarding;
pub mod hop_by_hop;
pub mod message;
pub mod method;
pub mod path;
pub mod path_readings;
pub mod status;
pub mod target;
