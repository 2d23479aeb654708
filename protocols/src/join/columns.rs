//! The spokes' columns, one for each relation and product: holders put together, relations multiplied.

use super::Own;
use super::plan::{Bit, Part, Plan};
use crate::arith::{self, compare, convert, mul, mux};
use crate::boolean;
use crate::correlate::{Stock, StockedRing};
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::psi::circuit::Joined;
use crate::session::Session;
use engine::ring::Ring;
use engine::share::Share;
use engine::share::boolean::BitShare;
use std::collections::{BTreeMap, BTreeSet};

/// Products of bits by what they are made of.
pub(super) type Bits = BTreeMap<Vec<Bit>, BitShare>;

/// Columns by relation and number.
type Numbers<R> = Vec<Vec<Share<R>>>;

/// Flags and matches of all holders of a relation, and their products.
pub(super) async fn bits(
    session: &mut Session,
    plan: &Plan,
    (joined, own): (&Joined, Option<Own<'_>>),
    stock: &mut Stock,
) -> Result<Bits, ProtocolError> {
    let products = plan.bits();
    let single: BTreeSet<Bit> = products.iter().flatten().copied().collect();
    let below = below(session, plan, (joined, own), stock).await?;
    let me = session.seat().index();
    // A OR b = ¬(¬a ∧ ¬b).
    let of_relations = single.iter().filter(|bit| bit.relation().is_some());
    let inverted = of_relations.clone().map(|bit| {
        let relation = bit.relation().expect("it is a relation's");
        let holders = plan.spokes[relation].clone();
        let each = holders.map(|holder| {
            let mut bit = of_holder(joined, holder, *bit);
            bit.not(me);
            bit
        });
        each.collect()
    });
    let none = all(session, inverted.collect(), stock).await?;
    let mut values = BTreeMap::new();
    for (bit, mut value) in of_relations.copied().zip(none) {
        if !matches!(bit, Bit::Unflagged(..)) {
            value.not(me);
        }
        values.insert(bit, value);
    }
    values.extend(below);
    let factors = products
        .iter()
        .map(|bits| bits.iter().map(|bit| copy(&values[bit])).collect());
    let values = all(session, factors.collect(), stock).await?;
    Ok(products.into_iter().zip(values).collect())
}

/// The price of [`bits`].
pub(super) fn bits_price(seats: Seats, plan: &Plan, n_bins: usize) -> Price {
    let products = plan.bits();
    let single: BTreeSet<Bit> = products.iter().flatten().copied().collect();
    let relations = single.iter().filter_map(|bit| bit.relation());
    let holders = relations.map(|relation| plan.n_holders(relation));
    let any = all_price(seats, n_bins, holders.collect());
    let below = below_price(seats, plan, n_bins);
    below.then(&any).then(&all_price(
        seats,
        n_bins,
        products.iter().map(Vec::len).collect(),
    ))
}

/// Which comparisons are below 0 in each bin.
async fn below(
    session: &mut Session,
    plan: &Plan,
    (joined, own): (&Joined, Option<Own<'_>>),
    stock: &mut Stock,
) -> Result<Vec<(Bit, BitShare)>, ProtocolError> {
    let wanted = plan.below();
    let Some((first, _)) = wanted.first().map(|at| &plan.compared[*at]) else {
        return Ok(Vec::new());
    };
    let n_bins = joined.valid.n_bits();
    let mut sums = Share::<u64>::zero(0);
    for at in &wanted {
        let (compared, places) = &plan.compared[*at];
        let mut sum = Share::<u64>::zero(n_bins);
        sum.add_public(
            session.seat().index(),
            &vec![compared.constant.cast_unsigned(); n_bins],
        );
        let parts = compared.parts.iter().zip(places);
        for ((relation, _, coefficient), columns) in parts {
            let (weight, cells) = (coefficient.cast_unsigned(), columns.len());
            for column in columns.clone() {
                match (relation, own) {
                    (0, Some((own, bins))) => {
                        for (row, bin) in bins.iter().enumerate() {
                            let value = own.narrow((column / cells, column % cells, cells), row);
                            let into = &mut sum.as_mut_slice()[*bin as usize];
                            *into = into.wrapping_add(value.wrapping_mul(weight));
                        }
                    }
                    (0, None) => {}
                    _ => {
                        for holder in plan.spokes[*relation].clone() {
                            let values = joined.spokes[holder].narrow[column].as_slice();
                            let into = sum.as_mut_slice().iter_mut().zip(values);
                            into.for_each(|(s, v)| *s = s.wrapping_add(v.wrapping_mul(weight)));
                        }
                    }
                }
            }
        }
        sums.append(sum);
    }
    let bound = bound_bits(plan, &wanted);
    let all = compare::less_than_zero(session, &sums, bound, first.method, stock).await?;
    let parts = wanted.iter().enumerate();
    let parts = parts.map(|(i, at)| (Bit::Below(*at), slice(&all, i * n_bins, n_bins)));
    Ok(parts.collect())
}

fn bound_bits(plan: &Plan, wanted: &[usize]) -> u32 {
    let bounds = wanted.iter().map(|at| plan.compared[*at].0.bound_bits);
    bounds.max().unwrap_or(1)
}

fn below_price(seats: Seats, plan: &Plan, n_bins: usize) -> Price {
    let wanted = plan.below();
    let Some((first, _)) = wanted.first().map(|at| &plan.compared[*at]) else {
        return Price::nothing(seats);
    };
    let n_items = wanted.len() * n_bins;
    compare::less_than_zero_price::<u64>(seats, n_items, bound_bits(plan, &wanted), first.method)
}

/// Some of the bits.
fn slice(bits: &BitShare, first: usize, n_bits: usize) -> BitShare {
    let words = bits.as_words();
    let word = |at: usize| {
        let (place, shift) = ((first + at) / 64, (first + at) % 64);
        let low = words.get(place).map_or(0, |w| w >> shift);
        let high = match shift {
            0 => 0,
            _ => words.get(place + 1).map_or(0, |w| w << (64 - shift)),
        };
        let rest = n_bits - at;
        let mask = if rest < 64 { (1 << rest) - 1 } else { u64::MAX };
        (low | high) & mask
    };
    BitShare::from_words(n_bits, (0..n_bits).step_by(64).map(word).collect())
}

/// One holder's bit of every bin. The lowest bits of additive shares of a bit are its XOR shares.
fn of_holder(joined: &Joined, holder: usize, bit: Bit) -> BitShare {
    match bit {
        Bit::Matched(_) => copy(&joined.members[holder]),
        Bit::Flag(_, column) | Bit::Unflagged(_, column) => {
            let values = joined.spokes[holder].narrow[column].as_slice();
            let word = |values: &[u64]| {
                let bits = values.iter().enumerate();
                bits.fold(0, |word, (at, value)| word | (value & 1) << at)
            };
            BitShare::from_words(values.len(), values.chunks(64).map(word).collect())
        }
        Bit::Below(_) => unreachable!("a comparison is no holder's bit"),
    }
}

fn copy(bits: &BitShare) -> BitShare {
    BitShare::from_words(bits.n_bits(), bits.as_words().to_vec())
}

/// The AND of each group of vectors, all groups at once, as trees.
async fn all(
    session: &mut Session,
    mut groups: Vec<Vec<BitShare>>,
    stock: &mut Stock,
) -> Result<Vec<BitShare>, ProtocolError> {
    while groups.iter().any(|group| group.len() > 1) {
        let pairs = groups.iter().flat_map(|group| group.as_chunks::<2>().0);
        let pairs: Vec<_> = pairs.map(|[x, y]| (x, y)).collect();
        let mut products = boolean::and(session, &pairs, stock).await?.into_iter();
        for group in &mut groups {
            let n_pairs = group.len() / 2;
            let odd = group.split_off(2 * n_pairs);
            *group = products.by_ref().take(n_pairs).chain(odd).collect();
        }
    }
    let only = |mut group: Vec<BitShare>| group.pop().expect("a group has a vector");
    Ok(groups.into_iter().map(only).collect())
}

fn all_price(seats: Seats, n_bins: usize, sizes: Vec<usize>) -> Price {
    let levels = pairs_of_levels(sizes).into_iter();
    Price::sequence(seats, levels.map(|n| boolean::and_price(seats, n_bins, n)))
}

/// How many pairs are multiplied on each level of trees with so many leaves.
fn pairs_of_levels(mut sizes: Vec<usize>) -> Vec<usize> {
    let mut levels = Vec::new();
    while sizes.iter().any(|n| *n > 1) {
        levels.push(sizes.iter().map(|n| n / 2).sum());
        sizes.iter_mut().for_each(|n| *n = n.div_ceil(2));
    }
    levels
}

/// The sums of each relation's holders' columns over Z_2^64.
pub(super) fn narrow(plan: &Plan, joined: &mut Joined) -> Numbers<u64> {
    let spokes = joined.spokes.iter_mut();
    summed(
        plan,
        spokes.map(|s| std::mem::take(&mut s.narrow)).collect(),
    )
}

/// The sums of each relation's holders' columns over Z_2^128.
pub(super) fn wide(plan: &Plan, joined: &mut Joined) -> Numbers<u128> {
    let spokes = joined.spokes.iter_mut();
    summed(plan, spokes.map(|s| std::mem::take(&mut s.wide)).collect())
}

fn summed<R: Ring>(plan: &Plan, spokes: Numbers<R>) -> Numbers<R> {
    let mut spokes = spokes.into_iter();
    let relations = plan.spokes.iter().map(|holders| {
        let mut holders = spokes.by_ref().take(holders.len());
        let first = holders.next().unwrap_or_default();
        holders.fold(first, |mut sum, other| {
            sum.iter_mut()
                .zip(&other)
                .for_each(|(s, o)| s.add_assign(o));
            sum
        })
    });
    relations.collect()
}

/// The right-hand columns of a part.
pub(super) async fn rights<R: StockedRing>(
    session: &mut Session,
    (plan, part): (&Plan, &Part),
    (numbers, bits): (Numbers<R>, &Bits),
    stock: &mut Stock,
) -> Result<Vec<Share<R>>, ProtocolError> {
    let as_numbers = part.as_numbers(plan);
    let planes: Vec<&BitShare> = as_numbers.iter().map(|own| &bits[*own]).collect();
    let mut converted = match planes.is_empty() {
        true => Vec::new(),
        false => convert::planes_to_arith::<R>(session, &planes, stock).await?,
    }
    .into_iter();
    let column = |(relation, column): (usize, usize)| arith::copy(&numbers[relation][column]);
    let mut groups = Vec::with_capacity(part.rights.len());
    for right in &part.rights {
        groups.push(match plan.as_it_is(right) {
            Some(own) => vec![column(own)],
            None if right.numbers.is_empty() => converted.by_ref().take(1).collect(),
            None => right.numbers.iter().map(|own| column(*own)).collect(),
        });
    }
    drop(numbers);
    let mut values = products(session, groups, stock).await?;
    let kept = part.rights.iter().zip(&mut values);
    let kept = kept.filter(|(right, _)| !right.bits.is_empty() && !right.numbers.is_empty());
    let kept: Vec<_> = kept.map(|(right, v)| (&bits[&right.bits], v)).collect();
    keep(session, kept, stock).await?;
    Ok(values)
}

/// The price of [`rights`].
pub(super) fn rights_price<R: StockedRing>(
    seats: Seats,
    (plan, part): (&Plan, &Part),
    n_bins: usize,
) -> Price {
    let mut price = Price::nothing(seats);
    let n_converted = part.as_numbers(plan).len();
    if n_converted > 0 {
        price = price.then(&convert::planes_price::<R>(seats, n_bins, n_converted));
    }
    let sizes = part.rights.iter().map(|right| right.numbers.len());
    for n_pairs in pairs_of_levels(sizes.collect()) {
        price = price.then(&mul::price::<R>(seats, n_pairs * n_bins));
    }
    let rights = part.rights.iter();
    let kept = rights.filter(|right| !right.bits.is_empty() && !right.numbers.is_empty());
    match kept.count() {
        0 => price,
        n => price.then(&mux::price::<R>(seats, n * n_bins)),
    }
}

impl Part {
    /// Products of bits that are needed as numbers, in the order of right-hand columns.
    fn as_numbers(&self, plan: &Plan) -> Vec<&Vec<Bit>> {
        let rights = self.rights.iter().filter(|right| right.numbers.is_empty());
        let converted = rights.filter(|right| plan.as_it_is(right).is_none());
        converted.map(|right| &right.bits).collect()
    }
}

/// The product of each group of vectors, all groups at once, as trees.
async fn products<R: StockedRing>(
    session: &mut Session,
    mut groups: Vec<Vec<Share<R>>>,
    stock: &mut Stock,
) -> Result<Vec<Share<R>>, ProtocolError> {
    while groups.iter().any(|group| group.len() > 1) {
        let (mut x, mut y) = (Share::zero(0), Share::zero(0));
        for [left, right] in groups.iter().flat_map(|group| group.as_chunks::<2>().0) {
            x.append(arith::copy(left));
            y.append(arith::copy(right));
        }
        let products = mul::mul(session, &x, &y, stock).await?;
        let mut rest = products.as_slice();
        for group in &mut groups {
            let mut next = Vec::with_capacity(group.len().div_ceil(2));
            let n_pairs = group.len() / 2;
            for pair in group.drain(..2 * n_pairs).step_by(2) {
                let (own, after) = rest.split_at(pair.len());
                next.push(Share::new(own.to_vec()));
                rest = after;
            }
            next.append(group);
            *group = next;
        }
    }
    let only = |mut group: Vec<Share<R>>| group.pop().expect("a group has a vector");
    Ok(groups.into_iter().map(only).collect())
}

/// Multiplies vectors by bits, all in one round.
async fn keep<R: StockedRing>(
    session: &mut Session,
    kept: Vec<(&BitShare, &mut Share<R>)>,
    stock: &mut Stock,
) -> Result<(), ProtocolError> {
    if kept.is_empty() {
        return Ok(());
    }
    let (mut bits, mut values) = (BitShare::zero(0), Share::zero(0));
    for (bit, value) in &kept {
        bits.append(copy(bit));
        values.append(arith::copy(value));
    }
    let products = mux::times(session, &bits, &values, stock).await?;
    let mut rest = products.as_slice();
    for (_, value) in kept {
        let (own, after) = rest.split_at(value.len());
        value.as_mut_slice().copy_from_slice(own);
        rest = after;
    }
    Ok(())
}
