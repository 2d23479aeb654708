//! Interactive protocols between seats, and nothing else: no sockets, no files, no clock, no threads.
//!
//! A protocol is an `async fn` over a [`session::Session`]. It reads like its page in the paper:
//! sends, receives and calls to the `engine`, in the paper's order. What carries the messages is a
//! [`net::Network`]: memory, a simulated link, or QUIC (in the party agent).
//!
//! Modules in reading order:
//!
//! * [`party`]: who takes part; [`path`]: where in a computation a message belongs; [`stamp`]: when
//!   it was sent, in rounds;
//! * [`wire`]: what may be sent, byte by byte; [`net`]: the links that carry it;
//! * [`error`]: what went wrong, and whose fault it is;
//! * [`compute`]: where kernels run; [`session`]: how a protocol sends and receives;
//! * [`cost`], [`security`]: what a protocol declares; [`disclose`]: how a value reaches a person;
//! * [`correlate`]: randomness prepared ahead; [`price`]: what a protocol takes and sends;
//! * [`arith`], [`boolean`]: computing on shares; [`function`]: real functions of them;
//! * [`table`], [`shuffle`], [`sort`], [`scan`]: shared rows, and bringing them into an order;
//! * [`aggregate`]: totals over all holders with small cells held back; [`sums`]: sums that are
//!   opened step by step; [`resume`]: from which step one that broke off goes on; [`stats`]: statistics that
//!   need comparisons or an order; [`psi`]: what two sets have in common;
//!   [`join`]: totals over a join in which nobody sees who matched; [`train`]: models of shared rows; [`lookup`]: what stands under a key in somebody else's table;
//! * [`oracle`]: the same functions in the clear, for tests.
//!
//! Everything here replays from the seeds of a [`session::SessionConfig`].
#![forbid(unsafe_code)]

pub mod party;
pub mod path;
pub mod stamp;
pub mod wire;
pub mod error;
pub mod net;
pub mod compute;
pub mod session;
pub mod cost;
pub mod security;
pub mod disclose;
pub mod correlate;
pub mod price;
mod lanes;
pub mod arith;
pub mod boolean;
pub mod function;
pub mod table;
pub mod shuffle;
pub mod sort;
pub mod scan;
pub mod aggregate;
pub mod sums;
pub mod resume;
pub mod stats;
pub mod psi;
pub mod join;
pub mod train;
pub mod lookup;
pub mod oracle;
