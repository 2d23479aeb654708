//! Kernels: rings, fixed point, shares, pseudo-random generators. No network, no clock, no ambient randomness.
