//! Interactive protocols on a session; memory and simulated networks; the plaintext oracle.
