//! This holder's own part of a plan: its query engine's rows, summed exactly.
