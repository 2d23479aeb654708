//! Every layer of tests for every protocol: against the oracle, costs, shapes, faults, tampering,
//! uniformity, and the session and networks themselves.

mod world;

mod oracle;
