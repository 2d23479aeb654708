//! What stands at the borders of ranges, and what is not covered by the list of protocols.

use super::ops::{self, METHODS, Op};
use super::{Clear, joined, run, seats};
use crate::world::{World, all_ok, prg, random_vec};
use engine::ring::Ring;
use protocols::arith::compare::{self, Method};
use protocols::arith::{convert, matmul, trunc};
use protocols::correlate::{self, MatrixShape, Source, Stock, StockedRing};
use protocols::error::ProtocolError;
use protocols::price::Seats;

fn one(op: Op, n_computing: usize, values: Vec<Vec<u64>>) -> Clear<u64> {
    let n_items = values[0].len();
    let needs = op.price::<u64>(seats(n_computing), n_items).needs;
    let inputs = Clear::of_ring(values);
    let ended = run(
        World::new(n_computing, 20),
        &inputs,
        &needs,
        async |session, inputs, stock| op.call(session, &inputs, stock).await,
    );
    joined(all_ok(ended))
}

/// All pairs of small numbers, at every width that holds them.
#[test]
fn comparison_is_exact_for_every_small_number() {
    for method in METHODS {
        for n_computing in [2, 3, 4, 5, 6] {
            for bound_bits in 0..=4u32 {
                let all = -(1i128 << bound_bits)..1i128 << bound_bits;
                let all: Vec<u64> = all.map(|v| u64::from_signed(v).expect("small")).collect();
                for op in [
                    Op::LessThanZero(bound_bits, method),
                    Op::EqualZero(bound_bits, method),
                ] {
                    let inputs = Clear::of_ring(vec![all.clone()]);
                    let found = one(op, n_computing, vec![all.clone()]);
                    assert!(found == op.expected(&inputs), "{op:?} among {n_computing}");
                }
            }
        }
    }
}

/// x + y and every pair of neighbours around each power of two.
#[test]
fn comparison_is_exact_around_powers_of_two() {
    let mut values: Vec<i128> = (0..63).map(|i| 1i128 << i).collect();
    values.extend([0, i128::from(i64::MAX), i128::from(i64::MIN)]);
    let around = values
        .iter()
        .flat_map(|v| [v - 1, *v, v + 1, -v - 1, -v, 1 - v]);
    let all: Vec<u64> = around.filter_map(u64::from_signed).collect();
    for method in METHODS {
        for op in [Op::LessThanZero(63, method), Op::EqualZero(63, method)] {
            let inputs = Clear::of_ring(vec![all.clone()]);
            assert!(
                one(op, 3, vec![all.clone()]) == op.expected(&inputs),
                "{op:?}"
            );
        }
    }
}

/// The edges of the range of a truncation, many times over: no mask gives anything but the quotient or
/// one more. SecureML's local truncation would fail here about once in four.
#[test]
fn truncation_has_no_catastrophic_failure() {
    fn check<R: StockedRing>(n_computing: usize) {
        let edge = 1i128 << (R::BITS - 2);
        let values = [-edge, -edge + 1, -1, 0, 1, edge - 2, edge - 1];
        let column = |v: &i128| vec![R::from_signed(*v).expect("in range"); 1500];
        let x: Vec<R> = values.iter().flat_map(column).collect();
        for f in [1, 16, 40, R::BITS - 3] {
            let needs = trunc::price::<R>(seats(n_computing), x.len(), f).needs;
            let inputs = Clear::of_ring(vec![x.clone()]);
            let ended = run(
                World::new(n_computing, 21),
                &inputs,
                &needs,
                async |session, inputs, stock| {
                    let mut inputs = inputs;
                    let y = trunc::probabilistic(session, &inputs.ring[0], f, stock).await?;
                    inputs.ring = vec![y];
                    Ok(inputs)
                },
            );
            for (x, y) in x.iter().zip(&joined(all_ok(ended)).ring[0]) {
                let error = y.to_signed() - (x.to_signed() >> f);
                assert!(error == 0 || error == 1, "f = {f}: {error}");
            }
        }
    }
    for n_computing in [2, 3, 5] {
        check::<u64>(n_computing);
        check::<u128>(n_computing);
    }
}

/// A quotient between two integers is rounded up as often as its fraction says.
#[test]
fn truncation_is_unbiased() {
    let f = 8;
    let n_items = 40_000;
    for part in [0u64, 64, 128, 192] {
        let found = one(Op::Trunc(f), 2, vec![vec![(5 << f) + part; n_items]]);
        let n_up = found.ring[0].iter().filter(|v| **v == 6).count() as f64;
        let expected = n_items as f64 * part as f64 / 256.0;
        let deviation = (n_up - expected).abs();
        assert!(deviation < 6.0 * 100.0, "{part}/256: {n_up} of {n_items}");
        assert!(part > 0 || n_up == 0.0, "an integer stays as it is");
    }
}

#[test]
fn parameters_outside_their_range_are_refused() {
    let refused = async |session: &mut protocols::session::Session,
                         inputs: super::Shared<u64>,
                         stock: &mut Stock| {
        let x = &inputs.ring[0];
        let outcomes = [
            compare::less_than_zero(session, x, 64, Method::Masked, stock)
                .await
                .map(|_| ()),
            compare::equal_zero(session, x, 64, Method::Summed, stock)
                .await
                .map(|_| ()),
            convert::a2b(session, x, 0, Method::Masked, stock)
                .await
                .map(|_| ()),
            convert::a2b(session, x, 65, Method::Summed, stock)
                .await
                .map(|_| ()),
            trunc::probabilistic(session, x, 62, stock)
                .await
                .map(|_| ()),
            trunc::exact(session, x, 62, Method::Masked, stock)
                .await
                .map(|_| ()),
            protocols::arith::bits::equal(session, &[], &[], stock)
                .await
                .map(|_| ()),
        ];
        for outcome in outcomes {
            let is_refused = matches!(outcome, Err(ProtocolError::InvalidInput { .. }));
            assert!(is_refused, "{outcome:?}");
        }
        Ok(super::Shared::default())
    };
    let inputs = Clear::of_ring(vec![vec![1; 3]]);
    all_ok(run(
        World::new(2, 22),
        &inputs,
        &Default::default(),
        refused,
    ));
}

/// The numbers that the plan shows, derived by hand.
#[test]
fn the_price_of_a_comparison() {
    let n = 1 << 10;
    let price = compare::less_than_zero_price::<u64>(seats(2), n, 63, Method::Masked);
    assert_eq!(price.cost.rounds, 6);
    // 8 bytes for c; 31 first products of 2 bits; then 31 nodes of 3 bits, of which 5 have no p.
    let bits = 64 + 2 * 31 + 3 * 26 + 2 * 5;
    assert_eq!(price.cost.bytes[0][1], n as u64 * bits / 8);
    assert!(price.cost.bytes[0][1] <= 40 * n as u64);
    assert_eq!(price.needs.bit_triples, 36 * n as u64);
    assert_eq!(price.needs.bit_pairs, 26 * n as u64);
    assert_eq!(price.needs.ring64.edabits, n as u64);
    let small = compare::less_than_zero_price::<u64>(seats(2), 64, 20, Method::Summed);
    // Five groups of four bits: two rounds for their carries, three levels of nodes.
    assert_eq!(small.cost.rounds, 5);
    let price = compare::less_than_zero_price::<u64>(seats(2), n, 63, Method::Summed);
    assert_eq!(price.cost.rounds, 6);
    // 16 groups: four bits each one way, a table of 32 bits the other; 15 nodes, of which 4 have no p.
    let nodes = 3 * 11 + 2 * 4;
    assert_eq!(price.cost.bytes[1][0], n as u64 * (16 * 4 + nodes) / 8);
    assert_eq!(price.cost.bytes[0][1], n as u64 * (16 * 32 + nodes) / 8);
    assert_eq!(price.needs.tables, 16 * n as u64);
    assert_eq!(price.needs.bit_triples, 4 * n as u64);
    assert_eq!(price.needs.bit_pairs, 11 * n as u64);
    let dealt = Seats {
        n_seats: 3,
        n_computing: 2,
    };
    let dealt = compare::less_than_zero_price::<u64>(dealt, n, 63, Method::Summed);
    assert_eq!(dealt.needs.tables, 0, "a dealer makes no tables");
}

/// With preprocessing, all included, between two seats without a dealer.
#[test]
fn the_price_of_a_comparison_by_oblivious_transfer() {
    let n = 1 << 20;
    let price = compare::less_than_zero_price::<u64>(seats(2), n, 63, Method::Summed);
    for (source, most) in [(Source::Ot, 460), (Source::FerretOt, 110)] {
        let cost = correlate::cost(&source, 2, &price.needs).then(&price.cost);
        let bytes = (cost.bytes[0][1] + cost.bytes[1][0]) / n as u64;
        assert!(bytes <= most, "{bytes} bytes by {}", source.name());
    }
}

fn check_matmul<R: StockedRing>(n_computing: usize, shape: MatrixShape) {
    let seed = (shape.m * 10_000 + shape.k * 100 + shape.n) as u64;
    let mut prg = prg(seed);
    let x: Vec<R> = random_vec(&mut prg, shape.left_len());
    let y: Vec<R> = random_vec(&mut prg, shape.right_len());
    let mut expected = vec![R::ZERO; shape.product_len()];
    for (i, out) in expected.iter_mut().enumerate() {
        let (row, column) = (i / shape.n, i % shape.n);
        for l in 0..shape.k {
            let product = x[row * shape.k + l].wrapping_mul(y[l * shape.n + column]);
            *out = out.wrapping_add(product);
        }
    }
    let price = matmul::price::<R>(seats(n_computing), shape);
    let inputs = Clear::of_ring(vec![x, y]);
    let ended = run(
        World::new(n_computing, seed),
        &inputs,
        &price.needs,
        async |session, inputs, stock| {
            let [x, y] = &inputs.ring[..] else {
                panic!("two matrices")
            };
            let product = match shape == matmul::dot_shape(shape.k) {
                true => matmul::dot(session, x, y, stock).await?,
                false => matmul::matmul(session, x, y, shape, stock).await?,
            };
            Ok(super::Shared {
                ring: vec![product],
                bits: Vec::new(),
            })
        },
    );
    for ended in &ended {
        let sent: u64 = ended.traffic.bytes_sent.iter().sum();
        let declared: u64 = price.cost.bytes[0].iter().sum();
        assert_eq!(sent, declared, "{shape:?}");
        assert_eq!(ended.traffic.rounds, 1);
    }
    assert!(joined(all_ok(ended)).ring[0] == expected, "{shape:?}");
}

#[test]
fn products_of_matrices_are_those_of_plain_arithmetic() {
    for n_computing in [2, 3, 5] {
        for shape in ops::shapes() {
            check_matmul::<u64>(n_computing, shape);
            check_matmul::<u128>(n_computing, shape);
        }
    }
    // The opening takes more than one message, and the left matrix ends within one.
    let (m, k, n) = (300, 400, 200);
    check_matmul::<u64>(2, MatrixShape { m, k, n });
}
