//! The planner: how a job is split and what is refused, and plans run in the clear against plain SQL.

mod fixture;
mod split;
mod oracle;
