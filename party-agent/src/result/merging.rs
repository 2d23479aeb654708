//! ChiMerge: neighbouring bins with like shares of bads become one.

use std::ops::Range;

/// χ² of the 2×2 table of bads and goods in two bins, without a correction; 0 where a margin is empty.
fn chi2((bad, good): (f64, f64), (next_bad, next_good): (f64, f64)) -> f64 {
    let (first, second) = (bad + good, next_bad + next_good);
    let (bads, goods) = (bad + next_bad, good + next_good);
    let product = first * second * bads * goods;
    if product == 0.0 {
        return 0.0;
    }
    let cross = bad * next_good - good * next_bad;
    (first + second) * cross * cross / product
}

/// Merges neighbours until there are at most `most` bins and every χ² of neighbours is above `least`: always the pair with
/// the least χ², of equal ones the first. Returns the bins that each new one is made of.
///
/// Kerber, AAAI-92. All holders of the counts find the same: only sums, products and quotients are taken.
#[must_use]
pub(super) fn merged(counts: &[(f64, f64)], (most, least): (usize, f64)) -> Vec<Range<usize>> {
    let mut groups: Vec<(Range<usize>, (f64, f64))> = counts
        .iter()
        .enumerate()
        .map(|(i, counts)| (i..i + 1, *counts))
        .collect();
    loop {
        let pairs = groups.windows(2).map(|pair| chi2(pair[0].1, pair[1].1));
        let smallest = pairs
            .enumerate()
            .reduce(|best, next| if next.1 < best.1 { next } else { best });
        match smallest {
            Some((at, found)) if groups.len() > most || found <= least => {
                let (range, (bad, good)) = groups.remove(at + 1);
                let into = &mut groups[at];
                into.0.end = range.end;
                into.1 = (into.1.0 + bad, into.1.1 + good);
            }
            _ => return groups.into_iter().map(|(range, _)| range).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chi2_is_that_of_its_definition() {
        // Observed less expected: 10 of 40 against 30 of 60 bads.
        let expected = [16.0, 24.0, 24.0, 36.0];
        let observed = [10.0, 30.0, 30.0, 30.0];
        let pairs = observed.iter().zip(expected);
        let sum: f64 = pairs.map(|(o, e): (&f64, f64)| (o - e).powi(2) / e).sum();
        assert!((chi2((10.0, 30.0), (30.0, 30.0)) - sum).abs() < 1e-12);
        assert_eq!(chi2((0.0, 0.0), (3.0, 4.0)), 0.0);
        assert_eq!(chi2((0.0, 5.0), (0.0, 4.0)), 0.0);
    }

    #[test]
    fn like_neighbours_become_one() {
        let counts = [
            (10.0, 90.0),
            (11.0, 89.0),
            (0.0, 0.0),
            (40.0, 60.0),
            (41.0, 59.0),
        ];
        assert_eq!(merged(&counts, (5, 3.84)), [0..3, 3..5]);
        // More than there may be are merged whatever they tell, the least first.
        let counts = [(10.0, 90.0), (50.0, 50.0), (70.0, 30.0)];
        assert_eq!(merged(&counts, (3, 3.84)), [0..1, 1..2, 2..3]);
        assert_eq!(merged(&counts, (2, 3.84)), [0..1, 1..3]);
        // Nothing tells them apart: one bin is left.
        let alone = merged(&[(1.0, 9.0); 4], (4, 3.84));
        assert_eq!((alone.len(), &alone[0]), (1, &(0..4)));
        assert!(merged(&[], (4, 3.84)).is_empty());
    }
}
