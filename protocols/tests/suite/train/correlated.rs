//! Pairs of columns that go together more than a limit says, against their sums in the clear.

use crate::arith::{Clear, Shared};
use crate::demands::{self, Case, below};
use engine::ring::Ring;
use protocols::arith::compare::Method;
use protocols::correlate::Stock;
use protocols::error::ProtocolError;
use protocols::price::{Price, Seats};
use protocols::session::Session;
use protocols::train::correlated::{self, SUM_BITS, Shape};

#[derive(Clone, Debug)]
struct Pairs {
    shape: Shape,
    limit: f64,
}

const FEW: Pairs = Pairs {
    shape: Shape {
        n_pairs: 7,
        log_rows: 11,
        method: Method::Masked,
    },
    limit: 700.25,
};

impl Pairs {
    /// Sums of both signs: at the limit, next to it, and anywhere.
    fn sums(&self, secrets: u64) -> Vec<i64> {
        let at = (self.limit * 2f64.powi(SUM_BITS.cast_signed())).round() as i64;
        let most = 1u64 << (SUM_BITS + self.shape.log_rows);
        let values = below(secrets, 1, 2 * most, self.shape.n_pairs);
        let edges = [at, at + 1, -at, -at - 1, at - 1, 0];
        let any = values.iter().map(|v| *v as i64 - most as i64);
        let shift = (secrets % 7) as usize;
        edges
            .into_iter()
            .cycle()
            .skip(shift)
            .zip(any)
            .enumerate()
            .map(
                |(i, (edge, any))| {
                    if i.is_multiple_of(2) { edge } else { any }
                },
            )
            .collect()
    }
}

impl Case for Pairs {
    type R = u64;

    fn inputs(&self, secrets: u64) -> Clear<u64> {
        let sums = self.sums(secrets).into_iter();
        let sums = sums.map(|sum| u64::from_signed(i128::from(sum)).expect("it fits"));
        Clear::of_ring(vec![sums.collect()])
    }

    fn expected(&self, _: usize, secrets: u64) -> Clear<u64> {
        let limit = (self.limit * 2f64.powi(SUM_BITS.cast_signed())).round() as u64;
        let sums = self.sums(secrets).into_iter();
        let beyond = sums.map(|sum| u64::from(sum.unsigned_abs() > limit));
        Clear::of_ring(vec![beyond.collect()])
    }

    fn price(&self, seats: Seats) -> Price {
        correlated::price(seats, &self.shape)
    }

    async fn call(
        &self,
        session: &mut Session,
        _: u64,
        inputs: Shared<u64>,
        stock: &mut Stock,
    ) -> Result<Shared<u64>, ProtocolError> {
        let sums = inputs.ring.into_iter().next().expect("sums");
        let beyond = correlated::beyond(session, &sums, self.limit, &self.shape, stock).await?;
        Ok(Shared {
            ring: vec![beyond],
            bits: vec![],
        })
    }
}

#[test]
fn pairs_beyond_a_limit_are_found() {
    for method in [Method::Masked, Method::Summed] {
        for (n_pairs, log_rows, limit) in [(1, 4, 3.5), (60, 20, 1e5), (7, 28, 1e8), (5, 9, 0.0)] {
            let shape = Shape {
                n_pairs,
                log_rows,
                method,
            };
            let case = Pairs { shape, limit };
            for secrets in 1..8 {
                demands::check_result(&case, 2, secrets);
            }
            demands::check_result(&case, 3, 9);
        }
    }
}

#[test]
fn pairs_are_held_to_all_demands() {
    demands::check_all(&FEW);
    demands::check_sources(&FEW);
}

#[test]
fn pairs_send_what_looks_uniform() {
    let mut case = FEW;
    case.shape.n_pairs = 256;
    demands::check_uniform(&case, 40);
}
