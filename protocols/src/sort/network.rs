//! Sorting networks: which rows are compared with which, fixed by public sizes alone.
//!
//! Runs that are sorted already are merged, two at a time, by Batcher's bitonic merger for any
//! number of rows. One run followed backwards and then the other forwards is a sequence that falls
//! and then rises. Comparing each element with the one m places on, where m is the greatest power
//! of two below the length, leaves two such sequences, the lower elements in the first.

/// A comparator: the smaller row goes to the first position, the greater to the second.
pub(super) type Comparator = (u32, u32);

/// Comparators that touch different rows, level by level; and where to find the rows afterwards.
pub(super) struct Network {
    /// Each level's comparators.
    pub(super) levels: Vec<Vec<Comparator>>,
    /// The positions of the rows in ascending order.
    pub(super) order: Vec<u32>,
}

impl Network {
    /// The network that merges sorted runs of these lengths, which lie one after the other.
    pub(super) fn merging(runs: &[usize]) -> Self {
        let mut next = 0u32;
        let mut sequences: Vec<Vec<u32>> = Vec::with_capacity(runs.len());
        for len in runs {
            let end = next + u32::try_from(*len).expect("under 2^32 rows");
            sequences.push((next..end).collect());
            next = end;
        }
        let mut levels = Vec::new();
        while sequences.len() > 1 {
            let odd = sequences.split_off(sequences.len() / 2 * 2);
            let bitonic = sequences.chunks_exact(2).map(|pair| {
                let (falling, rising) = (pair[0].iter().rev(), pair[1].iter());
                falling.chain(rising).copied().collect::<Vec<u32>>()
            });
            sequences = bitonic.collect();
            let first = levels.len();
            for sequence in &sequences {
                merge(sequence, first, &mut levels);
            }
            sequences.extend(odd);
        }
        let order = sequences.pop().unwrap_or_default();
        Self { levels, order }
    }
}

/// Adds the comparators that sort one falling and rising sequence, from level `first` on.
fn merge(sequence: &[u32], first: usize, levels: &mut Vec<Vec<Comparator>>) {
    let len = sequence.len();
    if len < 2 {
        return;
    }
    if levels.len() <= first {
        levels.push(Vec::new());
    }
    let stride = len.next_power_of_two() / 2;
    let pairs = sequence.iter().zip(&sequence[stride..]);
    levels[first].extend(pairs.map(|(low, high)| (*low, *high)));
    merge(&sequence[..stride], first + 1, levels);
    merge(&sequence[stride..], first + 1, levels);
}

/// Number of comparators at each level of [`Network::merging`], without making them.
pub(super) fn merging_levels(runs: &[usize]) -> Vec<usize> {
    let mut lens = runs.to_vec();
    let mut levels: Vec<usize> = Vec::new();
    while lens.len() > 1 {
        let first = levels.len();
        let merged: Vec<usize> = lens.chunks(2).map(|pair| pair.iter().sum()).collect();
        for (pair, len) in lens.chunks(2).zip(&merged) {
            if pair.len() == 2 {
                count(*len, first, &mut levels);
            }
        }
        lens = merged;
    }
    levels
}

/// Adds the number of comparators of one merger. Of the two halves of a sequence, the first has a
/// power of two of elements, so that all its levels are known at once.
fn count(mut len: usize, mut level: usize, levels: &mut Vec<usize>) {
    let mut add = |level: usize, n: usize| {
        if levels.len() <= level {
            levels.resize(level + 1, 0);
        }
        levels[level] += n;
    };
    while len >= 2 {
        let stride = len.next_power_of_two() / 2;
        add(level, len - stride);
        level += 1;
        (0..stride.ilog2() as usize).for_each(|depth| add(level + depth, stride / 2));
        len -= stride;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted_by(network: &Network, values: &mut [u32]) -> Vec<u32> {
        for level in &network.levels {
            for (low, high) in level {
                let (low, high) = (*low as usize, *high as usize);
                if values[high] < values[low] {
                    values.swap(low, high);
                }
            }
        }
        network.order.iter().map(|p| values[*p as usize]).collect()
    }

    /// A network that sorts all sequences of zeros and ones sorts everything (Knuth, 5.3.4).
    #[test]
    fn networks_sort_all_zeros_and_ones() {
        for n in 0..=12usize {
            let network = Network::merging(&vec![1; n]);
            for word in 0u32..1 << n {
                let mut values: Vec<u32> = (0..n).map(|i| word >> i & 1).collect();
                let mut expected = values.clone();
                expected.sort_unstable();
                assert_eq!(sorted_by(&network, &mut values), expected);
            }
        }
    }

    #[test]
    fn runs_of_any_length_are_merged() {
        for runs in [
            vec![],
            vec![0],
            vec![5],
            vec![0, 3],
            vec![7, 0, 2],
            vec![1, 9],
            vec![6, 5, 4],
            vec![3, 1, 2, 8, 5],
        ] {
            let network = Network::merging(&runs);
            let sizes: Vec<usize> = network.levels.iter().map(Vec::len).collect();
            assert_eq!(sizes, merging_levels(&runs), "{runs:?}");
            for level in &network.levels {
                let mut touched: Vec<u32> = level.iter().flat_map(|(a, b)| [*a, *b]).collect();
                touched.sort_unstable();
                touched.dedup();
                assert_eq!(touched.len(), 2 * level.len(), "each row at most once");
            }
            // All ways to fill each run with zeros and then ones.
            let n_ways: usize = runs.iter().map(|n| n + 1).product();
            for way in 0..n_ways {
                let mut rest = way;
                let mut values = Vec::new();
                for n in &runs {
                    let zeros = rest % (n + 1);
                    rest /= n + 1;
                    values.extend((0..*n).map(|i| u32::from(i >= zeros)));
                }
                let mut expected = values.clone();
                expected.sort_unstable();
                assert_eq!(sorted_by(&network, &mut values), expected, "{runs:?}");
            }
        }
    }
}
