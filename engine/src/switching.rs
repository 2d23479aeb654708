//! Switching networks: any permutation of n rows as switches of two rows each, for oblivious
//! permutation by one secret bit a switch.
//!
//! Waksman's network (JACM 15(1), 1968), for any n (Beauquier and Darrot, "On arbitrary size Waksman
//! networks and their vulnerability", 2002): a switch for every two inputs sends one of them to a
//! network for the even half and the other to one for the odd half, and switches at the outputs put
//! the halves together. If n is even, the last output switch is left out; if n is odd, the last row
//! has no switches at this level and goes through the even half. n·log₂ n − n + 1 switches if n is a
//! power of two.
//!
//! Rows stay in one array. A network on the rows `offset`, `offset` + 2^d, … has its even half on
//! every second of them, so that a layer of switches at depth d exchanges rows 2^d apart. A layer's
//! switches are independent of each other.

use zeroize::Zeroizing;

/// The network for n rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    n_rows: usize,
    /// Levels of halving; each has a layer of input switches and one of output switches.
    depth: usize,
}

impl Network {
    /// The network for so many rows.
    ///
    /// # Panics
    ///
    /// If there are 2^32 rows or more.
    pub fn new(n_rows: usize) -> Self {
        assert!(u32::try_from(n_rows).is_ok(), "less than 2^32 rows");
        let depth = n_rows.max(1).next_power_of_two().trailing_zeros() as usize;
        Self { n_rows, depth }
    }

    /// Layers, in the order in which they are applied. Some of the last ones may be empty.
    pub fn n_layers(&self) -> usize {
        2 * self.depth
    }

    /// The depth of a layer, and whether it has output switches.
    fn place(&self, layer: usize) -> (usize, bool) {
        match layer < self.depth {
            true => (layer, false),
            false => (self.n_layers() - 1 - layer, true),
        }
    }

    /// Switches of the network at `offset`.
    fn count(&self, layer: usize, offset: usize) -> usize {
        let (depth, is_output) = self.place(layer);
        let n = (self.n_rows - offset).div_ceil(1 << depth);
        match (is_output, n) {
            (false, n) => n / 2,
            (true, 0..=2) => 0,
            (true, n) => (n - 1) / 2,
        }
    }

    /// Number of switches of a layer.
    pub fn n_switches(&self, layer: usize) -> usize {
        let (depth, _) = self.place(layer);
        let offsets = 0..(1 << depth).min(self.n_rows);
        offsets.map(|offset| self.count(layer, offset)).sum()
    }

    /// The two rows of each switch of a layer.
    pub fn switches(&self, layer: usize) -> Vec<(u32, u32)> {
        let (depth, _) = self.place(layer);
        let stride = 1usize << depth;
        let counts: Vec<usize> = (0..stride.min(self.n_rows))
            .map(|offset| self.count(layer, offset))
            .collect();
        let most = counts.first().copied().unwrap_or(0);
        let mut out = Vec::with_capacity(counts.iter().sum());
        for i in 0..most {
            for (offset, _) in counts.iter().enumerate().filter(|(_, count)| i < **count) {
                let row = offset + 2 * i * stride;
                out.push((row as u32, (row + stride) as u32));
            }
        }
        out
    }

    /// How to set the switches, layer by layer and packed, so that row `sources[i]` becomes row i.
    ///
    /// # Panics
    ///
    /// If `sources` is no permutation of n rows.
    pub fn route(&self, sources: &[u32]) -> Vec<Zeroizing<Vec<u64>>> {
        assert_eq!(sources.len(), self.n_rows, "a source for each row");
        let layer = || Zeroizing::new(vec![0u8; self.n_rows]);
        // Set at the first row of each switch.
        let mut set: Vec<_> = (0..self.n_layers()).map(|_| layer()).collect();
        let mut open = vec![(Zeroizing::new(sources.to_vec()), 0, 0)];
        while let Some((sources, offset, depth)) = open.pop() {
            let n = sources.len();
            let row = |i: usize| offset + (i << depth);
            if n == 2 {
                set[depth][row(0)] = u8::from(sources[0] == 1);
            }
            if n <= 2 {
                continue;
            }
            let halves = halves(&sources);
            let output = self.n_layers() - 1 - depth;
            let half = || Zeroizing::new(Vec::with_capacity(n.div_ceil(2)));
            let (mut even, mut odd) = (half(), half());
            for i in (0..n - 1).step_by(2) {
                set[depth][row(i)] = halves[i];
                let is_crossed = halves[sources[i] as usize];
                set[output][row(i)] = is_crossed;
                even.push(sources[i + usize::from(is_crossed)] / 2);
                odd.push(sources[i + 1 - usize::from(is_crossed)] / 2);
            }
            if n % 2 == 1 {
                even.push(sources[n - 1] / 2);
            }
            open.push((even, offset, depth + 1));
            open.push((odd, offset + (1 << depth), depth + 1));
        }
        let packed = |(layer, set): (usize, Zeroizing<Vec<u8>>)| {
            let switches = self.switches(layer);
            let mut words = Zeroizing::new(vec![0; crate::bits::words_for(switches.len())]);
            for (i, (row, _)) in switches.iter().enumerate() {
                words[i / 64] |= u64::from(set[*row as usize]) << (i % 64);
            }
            words
        };
        set.into_iter().enumerate().map(packed).collect()
    }
}

/// For each input of a network, whether it goes through the odd half: of the two inputs of a switch
/// one does, and of the inputs that the two outputs of a switch come from. Three inputs or more.
fn halves(sources: &[u32]) -> Zeroizing<Vec<u8>> {
    const OPEN: u8 = 2;
    let n = sources.len();
    let mut targets = Zeroizing::new(vec![0u32; n]);
    for (target, source) in (0u32..).zip(sources) {
        targets[*source as usize] = target;
    }
    let mut halves = Zeroizing::new(vec![OPEN; n]);
    // The last output is fixed: it comes through the odd half, or through the even one if it is alone.
    let fixed = (n - 1, u8::from(n.is_multiple_of(2)));
    let others = (0..n - 1).step_by(2).map(|output| (output, 0));
    for (first, half) in std::iter::once(fixed).chain(others) {
        let mut output = first;
        // From an output to its input, on to the input beside that, and to the output beside its own.
        while halves[sources[output] as usize] == OPEN {
            let input = sources[output] as usize;
            halves[input] = half;
            let beside = input ^ 1;
            if beside >= n {
                break;
            }
            halves[beside] = 1 - half;
            output = targets[beside] as usize ^ 1;
            if output >= n {
                break;
            }
        }
    }
    halves
}
