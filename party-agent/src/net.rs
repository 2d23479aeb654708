//! The data plane: QUIC between agents, direct or through the relay.
