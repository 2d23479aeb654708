//! The local HTTP API that the command line talks to.
