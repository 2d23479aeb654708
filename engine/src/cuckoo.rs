//! Cuckoo hashing without a stash: every item goes to one of three bins of its own, alone.
//!
//! With 2n + 96 bins, n items that were fixed before the hash was chosen fit with probability over
//! 1 − 2^−42. They do not fit only if some k + 1 of them have all their bins among k; summed over
//! all k and all choices, with three different bins for each item,
//!
//! ```text
//! Σ_k C(n, k+1) · C(B, k) · (C(k, 3) / C(B, 3))^(k+1)
//! ```
//!
//! is largest at n = 32, where it is 2^−42.4. Items are placed by augmenting paths, which find a place
//! for all whenever there is one.

use crate::params::{CUCKOO_BINS_PER_ITEM, CUCKOO_SPARE_BINS};

/// Bins that one item may go to.
pub const CHOICES: usize = 3;

/// Number of bins for so many items: a multiple of 64, so that bits of bins fill words.
pub const fn n_bins(n_items: usize) -> usize {
    (CUCKOO_BINS_PER_ITEM * n_items + CUCKOO_SPARE_BINS).next_multiple_of(64)
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
    let mut held = vec![None; n_bins];
    // The item for which a bin was last looked at.
    let mut seen = vec![usize::MAX; n_bins];
    let mut path = Vec::new();
    for item in 0..choices.len() {
        path.clear();
        path.push((item, 0));
        while let Some((who, choice)) = path.last_mut() {
            let Some(bin) = choices[*who].get(*choice).copied() else {
                path.pop();
                continue;
            };
            *choice += 1;
            if seen[bin] == item {
                continue;
            }
            seen[bin] = item;
            match held[bin] {
                Some(other) => path.push((other, 0)),
                None => break,
            }
        }
        if path.is_empty() {
            return None;
        }
        // Everybody on the path moves to the bin that it looked at last.
        for (who, choice) in path.drain(..) {
            held[choices[who][choice - 1]] = Some(who);
        }
    }
    Some(held)
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
}
