//! Cuckoo hashing without a stash: every item goes to one of three bins of its own, alone.
//!
//! With 1.3·n + 128 bins, n items that were fixed before the hash was chosen fit with probability
//! over 1 − 2^−41. If they do not all fit, then some of them have too few bins between them; take the
//! fewest such items. They are k + 1 with k bins between them, and each of these bins is one of two
//! of the items at least, or one could leave an item out. Summed over all k and all choices, with
//! three different bins for each item,
//!
//! ```text
//! Σ_k C(n, k+1) · C(B, k) · (C(k, 3) / C(B, 3))^(k+1) · p_k
//! p_k ≤ min(1, m!/k^m · (e^λ − 1 − λ)^k / λ^m / ((1 − 1/k)(1 − 2/k))^(k+1)),   m = 3(k+1), any λ
//! ```
//!
//! where p_k is the probability that k bins, of which k + 1 items have three each, all are had twice.
//! The sum is largest at n = 80, where it is 2^−41.6; at n = 2^20 it is 2^−100. Items are placed by
//! augmenting paths, which find a place for all whenever there is one.

use crate::block::Block;
use crate::hash::BlockPrf;
use crate::params::{CUCKOO_BINS_PER_TEN_ITEMS, CUCKOO_SPARE_BINS};
use crate::prg::Seed;
use rayon::prelude::*;

/// Bins that one item may go to.
pub const CHOICES: usize = 3;

/// Number of bins for so many items: a multiple of 64, so that bits of bins fill words.
pub const fn n_bins(n_items: usize) -> usize {
    let n_bins = (CUCKOO_BINS_PER_TEN_ITEMS * n_items).div_ceil(10) + CUCKOO_SPARE_BINS;
    n_bins.next_multiple_of(64)
}

/// From items to bins: the same at whoever has the seed, which is drawn after the items are fixed
/// and may be public.
pub struct BinHash {
    n_bins: usize,
    bins: BlockPrf,
    points: [BlockPrf; CHOICES],
}

impl BinHash {
    /// A hash to so many bins.
    ///
    /// # Panics
    ///
    /// With fewer than three bins.
    pub fn new(seed: &Seed, n_bins: usize) -> Self {
        assert!(n_bins >= CHOICES, "an item has three bins");
        Self {
            n_bins,
            bins: BlockPrf::new("entente/v1/cuckoo/bins", seed),
            points: [
                BlockPrf::new("entente/v1/cuckoo/points-0", seed),
                BlockPrf::new("entente/v1/cuckoo/points-1", seed),
                BlockPrf::new("entente/v1/cuckoo/points-2", seed),
            ],
        }
    }

    /// Number of bins.
    pub fn n_bins(&self) -> usize {
        self.n_bins
    }

    /// The three bins of each item.
    pub fn bins(&self, items: &[Block]) -> Vec<[usize; CHOICES]> {
        let hashes = hashed(&self.bins, items);
        let bins = hashes.par_iter().map(|h| bins(h.to_bytes(), self.n_bins));
        bins.collect()
    }

    /// What stands for each item in the bin that is its choice number `choice`: another value for
    /// each choice, so that what is stored under one says nothing about the others.
    ///
    /// # Panics
    ///
    /// If there is no such choice.
    pub fn points(&self, items: &[Block], choice: usize) -> Vec<Block> {
        hashed(&self.points[choice], items)
    }
}

fn hashed(hash: &BlockPrf, items: &[Block]) -> Vec<Block> {
    let mut hashes = vec![Block::ZERO; items.len()];
    hash.add_to(&mut hashes, items);
    hashes
}

/// The three bins of an item, all different, from a hash of it that is uniform.
///
/// # Panics
///
/// With fewer than three bins.
pub fn bins(hash: [u8; 16], n_bins: usize) -> [usize; CHOICES] {
    assert!(n_bins >= CHOICES, "an item has three bins");
    let hash = u128::from_le_bytes(hash);
    // 42 bits below a bound that is far smaller: biased by less than n/2^42.
    let below = |part: u32, bound: usize| {
        let bits = (hash >> (42 * part)) & ((1 << 42) - 1);
        ((bits * bound as u128) >> 42) as usize
    };
    let first = below(0, n_bins);
    let mut second = below(1, n_bins - 1);
    second += usize::from(second >= first);
    let mut third = below(2, n_bins - 2);
    for taken in [first.min(second), first.max(second)] {
        third += usize::from(third >= taken);
    }
    [first, second, third]
}

/// Places every item in one of its bins: for each bin the item that it holds. `None` if they do not
/// all fit.
///
/// The time that this takes depends on the items: it is for the party that knows them, before
/// anything is sent.
pub fn place(choices: &[[usize; CHOICES]], n_bins: usize) -> Option<Vec<Option<usize>>> {
    let mut held: Vec<Option<usize>> = vec![None; n_bins];
    // The item for which a bin was last looked at.
    let mut seen = vec![usize::MAX; n_bins];
    let mut tree: Vec<Move> = Vec::new();
    for item in 0..choices.len() {
        // Breadth first: the shortest path to a free bin is short, and any other may be very long.
        tree.clear();
        tree.push(Move {
            who: item,
            from: None,
        });
        let mut at = 0;
        let (free, last) = 'search: loop {
            let Move { who, .. } = *tree.get(at)?;
            for bin in choices[who] {
                if seen[bin] == item {
                    continue;
                }
                seen[bin] = item;
                match held[bin] {
                    Some(other) => tree.push(Move {
                        who: other,
                        from: Some((at, bin)),
                    }),
                    None => break 'search (bin, at),
                }
            }
            at += 1;
        };
        // Everybody on the path moves on, the last one to the free bin.
        let (mut bin, mut at) = (free, last);
        loop {
            let Move { who, from } = tree[at];
            held[bin] = Some(who);
            match from {
                Some((before, left)) => (at, bin) = (before, left),
                None => break,
            }
        }
    }
    Some(held)
}

/// An item that would have to move, and for whom: the item's position in the search and the bin.
struct Move {
    who: usize,
    from: Option<(usize, usize)>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prg::{Prg, Seed};

    fn random_choices(prg: &mut Prg, n_items: usize, n_bins: usize) -> Vec<[usize; CHOICES]> {
        let mut hash = [0; 16];
        let mut choices = || {
            prg.fill_bytes(&mut hash);
            bins(hash, n_bins)
        };
        (0..n_items).map(|_| choices()).collect()
    }

    #[test]
    fn everybody_gets_a_bin_of_its_own() {
        println!("seed 1");
        let mut prg = Prg::new(&Seed::from_bytes([1; 32]), 0);
        for n in [0, 1, 2, 3, 33, 644, 5000] {
            let n_bins = n_bins(n);
            let choices = random_choices(&mut prg, n, n_bins);
            let held = place(&choices, n_bins).expect("they fit");
            let mut placed = vec![false; n];
            for (bin, item) in held.iter().enumerate() {
                let Some(item) = item else { continue };
                assert!(choices[*item].contains(&bin));
                assert!(!std::mem::replace(&mut placed[*item], true));
            }
            assert!(placed.iter().all(|placed| *placed));
        }
    }

    #[test]
    fn the_three_bins_differ_and_are_all_used() {
        println!("seed 2");
        let mut prg = Prg::new(&Seed::from_bytes([2; 32]), 0);
        for n_bins in [3, 4, 64] {
            let mut counts = vec![[0; CHOICES]; n_bins];
            let n = 4000 * n_bins;
            for [a, b, c] in random_choices(&mut prg, n, n_bins) {
                assert!(a != b && b != c && a != c);
                counts[a][0] += 1;
                counts[b][1] += 1;
                counts[c][2] += 1;
            }
            // 4000 each, give or take seven times 63.
            assert!(counts.iter().flatten().all(|n| (3550..4450).contains(n)));
        }
    }

    /// Fewer bins than the formula asks for: whoever does not fit is told, and as often as the
    /// formula says. 8 items in 4 bins never fit; 4 items in 7 bins fail if all have the same three:
    /// with probability 1/35³.
    #[test]
    fn what_does_not_fit_is_told() {
        println!("seed 3");
        let mut prg = Prg::new(&Seed::from_bytes([3; 32]), 0);
        assert!(place(&random_choices(&mut prg, 8, 4), 4).is_none());
        let n = 1_000_000;
        let fails = (0..n).filter(|_| place(&random_choices(&mut prg, 4, 7), 7).is_none());
        let expected = f64::from(n) / f64::from(35 * 35 * 35);
        let n_fails = fails.count() as f64;
        // 23.3, give or take five times 4.8.
        assert!(
            (n_fails - expected).abs() < 5.0 * expected.sqrt(),
            "{n_fails}"
        );
    }

    /// ln of n! for n up to a bound.
    struct Factorials(Vec<f64>);

    impl Factorials {
        fn up_to(n: usize) -> Self {
            let mut logs = vec![0.0];
            for i in 1..=n {
                logs.push(logs[i - 1] + (i as f64).ln());
            }
            Self(logs)
        }

        fn choose(&self, n: usize, k: usize) -> f64 {
            self.0[n] - self.0[k] - self.0[n - k]
        }

        /// ln of the bound on the probability that k bins, of which k + 1 items have three each, all
        /// are had twice.
        fn all_twice(&self, k: usize) -> f64 {
            let (m, bins) = (3 * (k + 1), k as f64);
            let different = (k as f64 + 1.0) * ((1.0 - 1.0 / bins).ln() + (1.0 - 2.0 / bins).ln());
            let at = |lambda: f64| bins * (lambda.exp_m1() - lambda).ln() - m as f64 * lambda.ln();
            let best = (1..400)
                .map(|i| at(f64::from(i) / 40.0))
                .fold(f64::MAX, f64::min);
            (self.0[m] - m as f64 * bins.ln() + best - different).min(0.0)
        }

        /// The sum of the module's documentation.
        fn bound(&self, n_items: usize, n_bins: usize) -> f64 {
            let term = |k: usize| {
                let places = self.choose(n_items, k + 1) + self.choose(n_bins, k);
                let inside = self.choose(k, CHOICES) - self.choose(n_bins, CHOICES);
                (places + (k + 1) as f64 * inside + self.all_twice(k)).exp()
            };
            (CHOICES..n_items).map(term).sum()
        }
    }

    #[test]
    fn so_many_bins_are_enough() {
        let logs = Factorials::up_to(25_000);
        for n in (4..200).chain([250, 400, 700, 1000, 2000, 4096, 8192]) {
            let log = logs.bound(n, n_bins(n)).log2();
            assert!(log < -41.0, "{n} items: 2^{log}");
        }
    }

    /// With fewer bins the bound can be measured: it holds, and is no more than ten times too high.
    #[test]
    fn failures_are_as_rare_as_the_bound_says() {
        println!("seed 4");
        let mut prg = Prg::new(&Seed::from_bytes([4; 32]), 0);
        let logs = Factorials::up_to(100);
        for (n_items, n_bins) in [(6, 8), (8, 12), (12, 16)] {
            let n = 200_000;
            let fails = (0..n)
                .filter(|_| place(&random_choices(&mut prg, n_items, n_bins), n_bins).is_none());
            let (n_fails, most) = (fails.count() as f64, n as f64 * logs.bound(n_items, n_bins));
            let slack = 5.0 * most.sqrt();
            assert!(n_fails < most + slack, "{n_items}: {n_fails} of {most}");
            assert!(
                n_fails > most / 10.0 - slack,
                "{n_items}: {n_fails} of {most}"
            );
        }
    }

    /// Both sides of a join find the same bins and points, and a point belongs to one choice.
    #[test]
    fn points_and_bins_follow_from_the_seed() {
        println!("seed 5");
        let mut prg = Prg::new(&Seed::from_bytes([5; 32]), 0);
        let mut items = vec![0u128; 1000];
        prg.fill_ring(&mut items);
        let items: Vec<Block> = items.into_iter().map(Block).collect();
        let hash = |seed: u8| BinHash::new(&Seed::from_bytes([seed; 32]), 1500);
        let (one, again, other) = (hash(1), hash(1), hash(2));
        assert!(one.bins(&items) == again.bins(&items));
        assert!(one.bins(&items) != other.bins(&items));
        let points = (0..CHOICES).flat_map(|choice| one.points(&items, choice));
        let points: std::collections::BTreeSet<u128> = points.map(|p| p.0).collect();
        assert_eq!(points.len(), CHOICES * items.len());
        assert!(one.points(&items, 1) == again.points(&items, 1));
        assert!(
            other
                .points(&items, 1)
                .iter()
                .all(|p| !points.contains(&p.0))
        );
    }
}
