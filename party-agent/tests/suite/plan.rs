//! The planner: from a job and catalogues to a plan, and the plan run in the clear against plain SQL.

pub(crate) mod fixture;
mod main_job;
mod accepted;
mod refused;
mod domains;
mod numbers;
mod uses;
mod determinism;
mod fuzz;
mod having;
mod oracle;
mod random;
mod coded;
mod joined;
mod joint;
mod analyst;
mod several;
mod wider;
mod matched;
mod totals;
mod forms;
mod intersect;
mod train;
mod vertical;
mod noise;
mod rounded;
pub(crate) mod chinese;
