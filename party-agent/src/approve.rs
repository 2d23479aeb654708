//! From a plan to an approved plan: this holder's policy and people.
