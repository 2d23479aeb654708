//! Contracts, the job book, and the QUIC shell that introduces agents and relays ciphertext between them.
