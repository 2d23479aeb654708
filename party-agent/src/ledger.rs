//! What this holder has agreed to and released, kept on disk.
