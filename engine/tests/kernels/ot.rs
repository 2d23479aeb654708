mod base;
mod extend;
mod ferret;
mod pprf;
mod products;
mod tables;

use crate::prg;
use engine::ot::Direction;
use engine::ot::extend::{Receiver, ReceiverSetup, Sender, SenderSetup};
use engine::prg::Prg;

pub(crate) const DIRECTION: Direction = Direction {
    session_id: [7; 32],
    operation: 1,
    sender: 0,
    receiver: 1,
};

/// Both sides of one direction, set up without a network.
pub(crate) fn set_up(direction: Direction, prg: &mut Prg) -> (Sender, Receiver) {
    let (sender, points) = SenderSetup::new(direction, prg);
    let (receiver, key) = ReceiverSetup::new(direction, prg);
    let (receiver, trees) = receiver.finish(&points).expect("an honest message");
    (
        sender.finish(&key, &trees).expect("honest messages"),
        receiver,
    )
}

/// Both sides of [`DIRECTION`] for one test.
fn labelled_pair(label: &'static str) -> (Sender, Receiver) {
    set_up(DIRECTION, &mut prg(label))
}

/// Whether a share of ones is what fair coins give: within 6 standard deviations of a half.
fn assert_balanced(ones: usize, n: usize, what: &str) {
    let deviation = (ones as f64 - n as f64 / 2.0).abs();
    assert!(
        deviation <= 6.0 * (n as f64).sqrt() / 2.0,
        "{what}: {ones} ones of {n}"
    );
}

fn ones(words: &[u64]) -> usize {
    words.iter().map(|w| w.count_ones() as usize).sum()
}
