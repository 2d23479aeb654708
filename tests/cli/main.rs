//! The command line as its users meet it: the built binary, real processes, real files, real sockets.

mod run;
mod town;
mod surface;
mod jobs;
mod parties;
mod ends;
mod tutorial;
mod shares;
mod figures;
mod joins;
mod overlaps;
mod statistics;
mod steps;
mod tasks;
mod train;
mod trees;
mod missing;
mod mlp;
mod vertical;
mod hazards;
mod scorecards;
mod parts;
mod scores;
mod evidence_roundtrip;
mod rollback_detect;
mod selection;
mod settlement;
mod pages;
#[path = "../../party-agent/tests/suite/canary.rs"]
mod canary;
mod egress;
mod officers;
mod catalogue;
mod enrolment;
mod persons;
mod bench;
