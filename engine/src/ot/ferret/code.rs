//! Ferret's code: every output adds up the secret at 10 public random positions.

use super::Rows;
use crate::block::Block;
use crate::cipher::Aes128;
use crate::params::FERRET_WEIGHT as WEIGHT;
use crate::prg::Seed;

/// Positions of 64 outputs.
const POSITIONS: usize = 64 * WEIGHT;
/// Generator blocks that they take, four positions a block.
const BLOCKS: u64 = POSITIONS as u64 / 4;

/// The generator of the code's matrix. Its key is public and belongs to one session.
pub(super) struct Code {
    generator: Aes128,
}

impl Code {
    pub(super) fn new(key: &Seed) -> Self {
        Self {
            generator: Aes128::new(&key.aes_key()),
        }
    }

    /// Adds to each of the outputs `first`, `first` + 1, … of a round its ten rows of the secret.
    ///
    /// The secret's length is a power of two, so the lowest bits of a random word are a uniform
    /// position. All positions of 64 outputs are known before the first is read: the processor has
    /// many reads under way at once.
    pub(super) fn add(&self, round: u64, first: u64, secret: &[Block], rows: &mut Rows) {
        assert!(secret.len().is_power_of_two(), "positions are masked");
        let mut positions = [0u32; POSITIONS];
        let blocks = bytemuck::cast_slice_mut(&mut positions);
        self.generator.keystream(round, first / 64 * BLOCKS, blocks);
        let mask = secret.len() - 1;
        for (row, positions) in rows.iter_mut().zip(positions.chunks_exact(WEIGHT)) {
            for position in positions {
                *row ^= secret[u32::from_le(*position) as usize & mask];
            }
        }
    }
}
