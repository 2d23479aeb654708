//! From a checked job and all catalogues to a plan: deterministic, with a digest that all agents compare.
