//! Sharing bits that one seat has.

use super::random_bits;
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::session::Session;
use engine::prg::Seed;
use engine::share::boolean::BitShare;

/// XOR-shares bits that one seat knows, without sending anything.
///
/// The owner and each other seat j expand the same key to seat j's share; the owner keeps the rest.
///
/// # Seats     asymmetric in `owner`, any number ≥ 2
/// # Inputs    `values`: vectors of the lengths `lens` at the owner, `None` elsewhere; `lens`:
///   public
/// # Output    shares of the owner's vectors
/// # Cost      0 rounds, 0 bytes
/// # Security  all but one seat may be corrupt; reveals the lengths. Rests on the generator
/// # Errors    [`ProtocolError::InvalidInput`] if the values are missing, or of other lengths
/// # Source    as [`input_all`](super::input_all)
pub async fn input(
    session: &mut Session,
    owner: Seat,
    values: Option<Vec<BitShare>>,
    lens: Vec<usize>,
) -> Result<Vec<BitShare>, ProtocolError> {
    let is_owner = session.seat() == owner;
    let fits = |v: &Vec<BitShare>| v.iter().map(BitShare::n_bits).eq(lens.iter().copied());
    if is_owner != values.is_some() || !values.as_ref().is_none_or(fits) {
        return session.ended_by(Err(ProtocolError::InvalidInput {
            what: "the owner of an input gives bits of the agreed lengths",
        }));
    }
    let others = if is_owner {
        session.peers()
    } else {
        vec![session.seat()]
    };
    let seeds: Vec<Seed> = others
        .into_iter()
        .map(|other| session.pair_seed(owner, other, "owned bits"))
        .collect();
    let kernel = move || {
        let zeros = || lens.iter().map(|n| BitShare::zero(*n)).collect();
        let mut own = values.unwrap_or_else(zeros);
        for seed in &seeds {
            for (bits, mask) in own.iter_mut().zip(random_bits(seed, &lens)) {
                bits.xor_assign(&mask);
            }
        }
        own
    };
    Ok(session.compute().run(kernel).await)
}
