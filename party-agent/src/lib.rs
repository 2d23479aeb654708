//! The agent on a holder's premises: the only crate that sees both a job and data.
//!
//! In the order in which a job passes through: what was asked ([`spec`]), what the holders publish
//! ([`catalogue`]), what will be computed ([`plan`]), whether this holder agrees ([`policy`],
//! [`page`], [`approve`], [`ledger`]), the rows ([`source`], [`local`]), the run ([`net`], [`execute`]), what
//! came out ([`result`], [`receipt`], [`evidence`]), and the process around it ([`config`], [`api`], [`agent`]).
#![cfg_attr(
    test,
    allow(clippy::too_many_lines, reason = "a table of cases is one function")
)]
#![forbid(unsafe_code)]

pub mod privacy;
pub mod spec;
pub mod catalogue;
pub mod plan;
pub mod manifest;
pub mod policy;
pub mod page;
pub mod approve;
pub mod ledger;
pub mod source;
pub mod local;
pub mod net;
pub mod execute;
pub mod result;
pub mod report;
pub mod receipt;
pub mod evidence;
pub mod settlement;
pub mod model;
pub mod config;
pub mod api;
pub mod agent;
