//! The agent process: coordinator link, jobs, local API.
