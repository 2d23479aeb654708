use super::{DIRECTION, assert_balanced, labelled_pair, ones};
use crate::prg;
use engine::bits;
use engine::block::Block;
use engine::ot::OtError;
use engine::ot::extend::{Choices, ReceiverCots, SenderCots};
use engine::ot::products::{Group, Hasher, Shape, receive, send};
use engine::ring::Ring;

/// Correlated OTs of one direction.
struct Cots {
    delta: Block,
    sent: SenderCots,
    received: ReceiverCots,
}

impl Cots {
    fn new(label: &'static str, n: usize) -> Self {
        let (mut sender, mut receiver) = labelled_pair(label);
        let (received, message) = receiver.cots(n, None).unwrap();
        let sent = sender.cots(n, Choices::Random, &message).unwrap();
        Self {
            delta: sender.delta(),
            sent,
            received,
        }
    }

    /// The sender's message, and both sides' shares.
    fn multiply<R: Ring>(&self, shape: &Shape, factors: &[R]) -> (Vec<u8>, Vec<R>, Vec<R>) {
        let (mut at_sender, mut at_receiver) = (Hasher::new(&DIRECTION), Hasher::new(&DIRECTION));
        let n = self.sent.rows.len();
        let first = at_sender.reserve(n).unwrap();
        assert_eq!(at_receiver.reserve(n), Ok(first));
        let ots = (self.delta, &self.sent.rows[..]);
        let (message, u) = send((&at_sender, first), shape, ots, factors);
        assert_eq!(message.len(), shape.message_bytes(n));
        let ots = (&self.received.choices[..], &self.received.rows[..]);
        let v = receive((&at_receiver, first), shape, ots, &message).unwrap();
        (message, u, v)
    }
}

fn random<R: Ring>(label: &'static str, n: usize) -> Vec<R> {
    let mut values = vec![R::ZERO; n];
    prg(label).fill_ring(&mut values);
    values
}

/// Rows of up to three elements, and numbers of items around those that a thread takes at a time.
fn elements_multiply<R: Ring>(label: &'static str) {
    for n_columns in [1, 2, 3] {
        for n_items in [0, 1, 15, 16, 17, 40] {
            let shape = Shape::elements::<R>(n_columns);
            let cots = Cots::new(label, n_items * R::BITS as usize);
            let factors = random::<R>("factors", n_items * n_columns);
            let (message, u, v) = cots.multiply(&shape, &factors);
            assert_eq!(
                message.len(),
                n_items * n_columns * R::BYTES * (R::BITS as usize + 1) / 2
            );
            let choices = &cots.received.choices;
            let b: Vec<R> = engine::ring::from_bytes(engine::ring::as_bytes(choices)).unwrap();
            for (i, factor) in factors.iter().enumerate() {
                let product = factor.wrapping_mul(b[i / n_columns]);
                assert_eq!(u[i].wrapping_add(v[i]), product, "element {i} of {n_items}");
            }
        }
    }
}

#[test]
fn elements_multiply_elements_of_64_bits() {
    elements_multiply::<u64>("elements of 64 bits");
}

#[test]
fn elements_multiply_elements_of_128_bits() {
    elements_multiply::<u128>("elements of 128 bits");
}

/// The lowest bits of products with bits, as many as are said to count.
fn bits_multiply<R: Ring>(widths: Vec<u32>, label: &'static str) {
    let n_ots = 19 * widths.len();
    let cots = Cots::new(label, n_ots);
    for n_columns in [1, 2] {
        let shape = Shape::bits::<R>(widths.clone(), n_columns);
        let factors = random::<R>("factors", n_ots * n_columns);
        let (_, u, v) = cots.multiply(&shape, &factors);
        for ot in 0..n_ots {
            let unused = R::BITS - widths[ot % widths.len()];
            let choice = u64::from(bits::get(&cots.received.choices, ot));
            for i in ot * n_columns..(ot + 1) * n_columns {
                let product = factors[i].wrapping_mul(R::from_u64(choice));
                let sum = u[i].wrapping_add(v[i]);
                assert_eq!(sum.shl(unused), product.shl(unused), "product {i}");
            }
        }
    }
}

#[test]
fn bits_multiply_elements() {
    bits_multiply::<u64>(vec![64; 64], "whole elements");
    bits_multiply::<u64>((0..64).collect(), "parts of elements");
    bits_multiply::<u128>((0..128).rev().collect(), "parts of wide elements");
    bits_multiply::<u128>(vec![127; 64], "wide elements");
}

/// XOR shares of words, after blocks that hash other columns: those must not be the same.
#[test]
fn bits_multiply_words() {
    let n_ots = 64 * 17;
    let cots = Cots::new("words", n_ots);
    let factors = random::<u64>("factors", 3 * n_ots);
    let mut shares = Vec::new();
    for first_block in [0, 2] {
        let shape = Shape::rows::<u64>(Group::Xor, 3, first_block);
        let (_, u, v) = cots.multiply(&shape, &factors);
        for (i, factor) in factors.iter().enumerate() {
            let choice = u64::from(bits::get(&cots.received.choices, i / 3));
            assert_eq!(u[i] ^ v[i], choice * factor, "word {i}");
        }
        shares.extend(u);
    }
    let n = shares.len();
    shares.sort_unstable();
    shares.dedup();
    assert_eq!(shares.len(), n, "no mask is used for two columns");
}

/// What is sent for zeros looks as random as what is sent for anything else.
#[test]
fn messages_look_random() {
    let n_items = 200;
    let cots = Cots::new("messages", 64 * n_items);
    let shape = Shape::elements::<u64>(1);
    for factors in [
        vec![0; n_items],
        vec![u64::MAX; n_items],
        random("x", n_items),
    ] {
        let (message, u, v) = cots.multiply(&shape, &factors);
        assert_balanced(
            message.iter().map(|b| b.count_ones() as usize).sum(),
            8 * message.len(),
            "bits of the message",
        );
        assert_balanced(ones(&u), 64 * n_items, "bits of the sender's shares");
        assert_balanced(ones(&v), 64 * n_items, "bits of the receiver's shares");
    }
}

#[test]
fn a_message_of_another_length_is_refused() {
    let cots = Cots::new("lengths", 64);
    let shape = Shape::elements::<u64>(1);
    let hasher = Hasher::new(&DIRECTION);
    let ots = (&cots.received.choices[..], &cots.received.rows[..]);
    for n_bytes in [0, 259, 261] {
        let outcome = receive::<u64>((&hasher, 0), &shape, ots, &vec![0; n_bytes]);
        let expected = OtError::WrongLength {
            what: "products",
            expected: 260,
            actual: n_bytes,
        };
        assert_eq!(outcome, Err(expected));
    }
}

#[test]
fn numbers_of_ots_run_out() {
    let mut hasher = Hasher::new(&DIRECTION);
    assert_eq!(hasher.reserve((1 << 40) - 1), Ok(0));
    let limit = 1 << 40;
    assert_eq!(hasher.reserve(2), Err(OtError::Exhausted { limit }));
    assert_eq!(hasher.reserve(1), Ok(limit - 1));
    assert_eq!(hasher.reserve(1), Err(OtError::Exhausted { limit }));
}

#[test]
fn bits_are_transferred() {
    let n = 64 * 9;
    let cots = Cots::new("bits", n);
    let hasher = Hasher::new(&DIRECTION);
    let [zeros, ones] = hasher.sender_bits::<2>(0, cots.delta, &cots.sent.rows[..]);
    let (chosen, _) = hasher.receiver_bits::<2>(0, &cots.received.rows[..]);
    for bit in 0..2 {
        for i in 0..n {
            let messages = match bits::get(&cots.received.choices, i) {
                false => &zeros[bit],
                true => &ones[bit],
            };
            assert_eq!(bits::get(&chosen[bit], i), bits::get(messages, i));
        }
        let differences = zeros[bit].iter().zip(&ones[bit]).map(|(a, b)| a ^ b);
        let differences: Vec<u64> = differences.collect();
        assert_balanced(super::ones(&differences), n, "differences");
    }
    assert_ne!(zeros[0], zeros[1], "two bits are two");
}
