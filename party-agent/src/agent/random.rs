//! Randomness of the operating system: the root of everything secret in a run.

use coordinator::contract::{JobId, Nonce};
use engine::prg::Seed;
use rand::TryRng;
use rand::rngs::SysRng;
use zeroize::Zeroize;

/// The operating system gives no randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gives no randomness")]
pub struct NoRandomness;

pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut out = [0; N];
    SysRng.try_fill_bytes(&mut out).map_err(|_| NoRandomness)?;
    Ok(out)
}

pub(crate) fn nonce() -> Result<Nonce, NoRandomness> {
    bytes().map(Nonce)
}

pub(crate) fn job_id() -> Result<JobId, NoRandomness> {
    bytes().map(JobId)
}

pub(crate) fn seed() -> Result<Seed, NoRandomness> {
    let mut root: [u8; 32] = bytes()?;
    let seed = Seed::from_bytes(root);
    root.zeroize();
    Ok(seed)
}
