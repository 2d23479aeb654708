use crate::prg;
use engine::bits;
use engine::prg::Prg;
use engine::switching::Network;

fn random_order(n: usize, prg: &mut Prg) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n as u32).collect();
    for i in (1..n).rev() {
        order.swap(i, prg.next_bounded(i as u64 + 1) as usize);
    }
    order
}

/// The rows after all switches, of rows that hold their numbers.
fn run(network: Network, n: usize, sources: &[u32]) -> Vec<u32> {
    let mut rows: Vec<u32> = (0..n as u32).collect();
    let settings = network.route(sources);
    for (layer, settings) in settings.iter().enumerate() {
        for (i, (x, y)) in network.switches(layer).iter().enumerate() {
            if bits::get(settings, i) {
                rows.swap(*x as usize, *y as usize);
            }
        }
    }
    rows
}

#[test]
fn networks_permute() {
    let mut prg = prg("switching networks");
    let lengths = (0..=40).chain([63, 64, 65, 127, 128, 129, 1000, 1023]);
    for n in lengths {
        let network = Network::new(n);
        let identity: Vec<u32> = (0..n as u32).collect();
        let reversed: Vec<u32> = identity.iter().rev().copied().collect();
        let random = (0..3).map(|_| random_order(n, &mut prg));
        let orders = random.chain([identity, reversed]);
        for order in orders {
            assert_eq!(run(network, n, &order), order, "{n} rows");
        }
    }
}

/// Every permutation of up to six rows.
#[test]
fn small_networks_make_every_permutation() {
    for n in 0..=6usize {
        let n_orders: usize = (1..=n).product();
        for number in 0..n_orders {
            let mut left: Vec<u32> = (0..n as u32).collect();
            let mut rest = number;
            let order: Vec<u32> = (1..=n)
                .rev()
                .map(|k| {
                    let at = rest % k;
                    rest /= k;
                    left.remove(at)
                })
                .collect();
            assert_eq!(run(Network::new(n), n, &order), order);
        }
    }
}

#[test]
fn networks_have_waksmans_number_of_switches_which_meet_once_in_a_layer() {
    fn expected(n: usize) -> usize {
        match n {
            0 | 1 => 0,
            2 => 1,
            n => n / 2 + (n - 1) / 2 + expected(n / 2) + expected(n.div_ceil(2)),
        }
    }
    for n in (0..200).chain([1024, 1025, 4095]) {
        let network = Network::new(n);
        let mut total = 0;
        for layer in 0..network.n_layers() {
            let switches = network.switches(layer);
            assert_eq!(switches.len(), network.n_switches(layer));
            total += switches.len();
            let mut rows: Vec<u32> = switches.iter().flat_map(|(x, y)| [*x, *y]).collect();
            rows.sort_unstable();
            assert!(rows.windows(2).all(|pair| pair[0] < pair[1]), "{n} rows");
            assert!(rows.iter().all(|row| (*row as usize) < n));
        }
        assert_eq!(total, expected(n), "{n} rows");
    }
    // n·log₂ n − n + 1.
    let network = Network::new(1024);
    let total: usize = (0..network.n_layers()).map(|l| network.n_switches(l)).sum();
    assert_eq!(total, 1024 * 10 - 1023);
}
