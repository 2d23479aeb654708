//! Circuits over batches of bit-sliced numbers: trees of ANDs and of carries.
//!
//! Position i of an addition generates a carry (g) or passes one on (p); of two neighbouring groups
//! of positions, high and low, one group is made with g = g_hi ⊕ p_hi∧g_lo and p = p_hi∧p_lo. The
//! same holds for borrows. Each circuit has a list of its levels; needs, rounds and bytes all
//! follow from it.

use crate::boolean::{Gates, Level, Planes};
use crate::correlate::Stock;
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::bits;

/// The levels of [`last_carry`].
pub(crate) fn last_carry_levels(mut n_groups: usize) -> Vec<Gates> {
    let mut levels = Vec::new();
    while n_groups > 1 {
        levels.push(Gates {
            singles: 1,
            pairs: n_groups / 2 - 1,
        });
        n_groups = n_groups.div_ceil(2);
    }
    levels
}

/// The carry out of `n_groups` neighbouring groups, lowest first, as plane 0 of the result.
///
/// A tree, neighbouring groups becoming one at each level (Sklansky, 1960, reduced to the one carry
/// that is used). The lowest group passes nothing on, so its p is neither read nor computed.
pub(crate) async fn last_carry(
    session: &mut Session,
    mut generate: Planes,
    mut propagate: Planes,
    mut n_groups: usize,
    stock: &mut Stock,
) -> Result<Planes, ProtocolError> {
    while n_groups > 1 {
        let mut level = Level::new(generate.n_lanes());
        level.and(propagate.plane(1), generate.plane(0));
        for high in (3..n_groups).step_by(2) {
            let (p, low) = (propagate.plane(high), high - 1);
            level.and_both(p, generate.plane(low), propagate.plane(low));
        }
        let products = level.run(session, stock).await?;
        generate.copy(1, 0);
        bits::xor_assign(generate.plane_mut(0), products.single(0));
        for node in 1..n_groups / 2 {
            let (carried, passed) = products.pair(node - 1);
            generate.copy(2 * node + 1, node);
            bits::xor_assign(generate.plane_mut(node), carried);
            propagate.plane_mut(node).copy_from_slice(passed);
        }
        if n_groups % 2 == 1 {
            generate.copy(n_groups - 1, n_groups / 2);
            propagate.copy(n_groups - 1, n_groups / 2);
        }
        n_groups = n_groups.div_ceil(2);
    }
    Ok(generate)
}

/// The levels of [`all_carries`].
pub(crate) fn all_carries_levels(n_positions: usize) -> Vec<Gates> {
    let mut levels = Vec::new();
    let mut half = 1;
    while half < n_positions {
        let combined = (0..n_positions).filter(|i| i & half != 0).count();
        let singles = (half..n_positions.min(2 * half)).count();
        levels.push(Gates {
            singles,
            pairs: combined - singles,
        });
        half *= 2;
    }
    levels
}

/// The carries out of each of `n_positions` positions, lowest first.
///
/// A prefix network of logarithmic depth (Sklansky, 1960): at each level every upper half of a block
/// is combined with the last position of the lower half. What reaches down to position 0 passes
/// nothing on, so its p is not computed.
pub(crate) async fn all_carries(
    session: &mut Session,
    mut generate: Planes,
    mut propagate: Planes,
    n_positions: usize,
    stock: &mut Stock,
) -> Result<Planes, ProtocolError> {
    let mut half = 1;
    while half < n_positions {
        let lowest = half..n_positions.min(2 * half);
        let others = (2 * half..n_positions).filter(|i| i & half != 0);
        let last_below = |i: usize| i / half * half - 1;
        let mut level = Level::new(generate.n_lanes());
        for i in lowest.clone() {
            level.and(propagate.plane(i), generate.plane(half - 1));
        }
        for i in others.clone() {
            let low = last_below(i);
            level.and_both(
                propagate.plane(i),
                generate.plane(low),
                propagate.plane(low),
            );
        }
        let products = level.run(session, stock).await?;
        for (gate, i) in lowest.enumerate() {
            bits::xor_assign(generate.plane_mut(i), products.single(gate));
        }
        for (gate, i) in others.enumerate() {
            let (carried, passed) = products.pair(gate);
            bits::xor_assign(generate.plane_mut(i), carried);
            propagate.plane_mut(i).copy_from_slice(passed);
        }
        half *= 2;
    }
    Ok(generate)
}

/// The levels of [`all_of`].
pub(crate) fn all_of_levels(mut n_planes: usize) -> Vec<Gates> {
    let mut levels = Vec::new();
    while n_planes > 1 {
        levels.push(Gates::singles(n_planes / 2));
        n_planes = n_planes.div_ceil(2);
    }
    levels
}

/// The AND of the first `n_planes` planes, as plane 0 of the result.
pub(crate) async fn all_of(
    session: &mut Session,
    mut planes: Planes,
    mut n_planes: usize,
    stock: &mut Stock,
) -> Result<Planes, ProtocolError> {
    while n_planes > 1 {
        let mut level = Level::new(planes.n_lanes());
        for i in 0..n_planes / 2 {
            level.and(planes.plane(2 * i), planes.plane(2 * i + 1));
        }
        let products = level.run(session, stock).await?;
        for i in 0..n_planes / 2 {
            planes.plane_mut(i).copy_from_slice(products.single(i));
        }
        if n_planes % 2 == 1 {
            planes.copy(n_planes - 1, n_planes / 2);
        }
        n_planes = n_planes.div_ceil(2);
    }
    Ok(planes)
}

/// The levels of [`all_prefixes`].
pub(crate) fn all_prefixes_levels(n_planes: usize) -> Vec<Gates> {
    let levels = all_carries_levels(n_planes).into_iter();
    levels
        .map(|gates| Gates::singles(gates.singles + gates.pairs))
        .collect()
}

/// For each plane the AND of it and all planes before it, by the network of [`all_carries`].
pub(crate) async fn all_prefixes(
    session: &mut Session,
    mut planes: Planes,
    n_planes: usize,
    stock: &mut Stock,
) -> Result<Planes, ProtocolError> {
    let mut half = 1;
    while half < n_planes {
        let combined = (half..n_planes).filter(|i| i & half != 0);
        let mut level = Level::new(planes.n_lanes());
        for i in combined.clone() {
            level.and(planes.plane(i), planes.plane(i / half * half - 1));
        }
        let products = level.run(session, stock).await?;
        for (gate, i) in combined.enumerate() {
            planes.plane_mut(i).copy_from_slice(products.single(gate));
        }
        half *= 2;
    }
    Ok(planes)
}

/// The price of levels one after another.
pub(crate) fn price(seats: Seats, levels: &[Gates], n_lanes: usize) -> Price {
    Price::sequence(
        seats,
        levels.iter().map(|gates| gates.price(seats, n_lanes)),
    )
}
