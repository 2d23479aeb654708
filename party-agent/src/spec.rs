//! A job file as written, and the checked form of it with all faults reported at once.
