//! The data plane between real endpoints on loopback, and against peers that do not follow it.

mod fixture;
mod handshakes;
mod links;
mod routes;
mod streams;
