//! MIN and MAX over all holders.

use crate::arith::{Clear, Shared};
use crate::demands::{self, Case, below, elements};
use protocols::correlate::{Stock, StockedRing};
use protocols::error::ProtocolError;
use protocols::price::{Price, Seats};
use protocols::session::Session;
use protocols::stats::extreme::{self, Extreme, ExtremeInput, ExtremeShape};
use std::fmt::Debug;
use std::marker::PhantomData;

#[derive(Debug)]
struct Extremes<R> {
    shape: ExtremeShape,
    ring: PhantomData<R>,
}

fn case<R>(extreme: Extreme, cells: usize, (low, high): (i128, i128)) -> Extremes<R> {
    let shape = ExtremeShape {
        extreme,
        cells,
        low,
        high,
    };
    let ring = PhantomData;
    Extremes { shape, ring }
}

/// One holder's values: often none, and often the ends of the range.
fn input(shape: &ExtremeShape, secrets: u64, seat: usize) -> ExtremeInput {
    let width = shape.high.wrapping_sub(shape.low).cast_unsigned();
    let seed = 16 * secrets + seat as u64;
    let kinds = below(seed, 1, 5, shape.cells);
    let draws = below(seed, 2, u64::MAX, shape.cells);
    let value = |(kind, draw): (&u64, &u64)| match kind {
        0 => Some(shape.low),
        1 => Some(shape.high),
        2 => None,
        _ => {
            let spread = u128::from(*draw) << 64 | u128::from(draw.rotate_left(17));
            let distance = if width == u128::MAX {
                spread
            } else {
                spread % (width + 1)
            };
            Some(shape.low.wrapping_add_unsigned(distance))
        }
    };
    ExtremeInput {
        values: kinds.iter().zip(&draws).map(value).collect(),
    }
}

impl<R: StockedRing> Case for Extremes<R> {
    type R = R;

    fn expected(&self, n_computing: usize, secrets: u64) -> Clear<R> {
        let inputs = (0..n_computing).map(|seat| input(&self.shape, secrets, seat));
        let found = extreme::oracle(&inputs.collect::<Vec<_>>(), &self.shape);
        // Numbers of 64 bits without a sign have the same bits as the signed ones above them.
        let bits = |v: i128| match u64::try_from(v) {
            Ok(v) if R::BITS == u64::BITS => i128::from(v.cast_signed()),
            _ => v,
        };
        let values = elements(found.iter().map(|v| bits(v.unwrap_or(0))));
        let present = elements(found.iter().map(|v| i128::from(v.is_some())));
        Clear::of_ring(vec![values, present])
    }

    fn price(&self, seats: Seats) -> Price {
        extreme::price::<R>(&self.shape, seats)
    }

    async fn call(
        &self,
        session: &mut Session,
        secrets: u64,
        _: Shared<R>,
        stock: &mut Stock,
    ) -> Result<Shared<R>, ProtocolError> {
        let input = input(&self.shape, secrets, session.seat().index());
        let found = extreme::extremes::<R>(session, input, &self.shape, stock).await?;
        Ok(Shared {
            ring: vec![found.values, found.present],
            bits: vec![],
        })
    }
}

const EXTREMES: [Extreme; 2] = [Extreme::Min, Extreme::Max];

#[test]
fn extremes_are_those_of_all_holders() {
    for extreme in EXTREMES {
        demands::check_all(&case::<u64>(extreme, 7, (-5, 20)));
        demands::check_all(&case::<u128>(extreme, 3, (0, 0)));
        demands::check_uniform(&case::<u64>(extreme, 64, (-1000, 1000)), 60);
    }
}

#[test]
fn ranges_and_cells_of_any_size() {
    let whole = (i128::from(i64::MIN) + 1, i128::from(i64::MAX));
    for extreme in EXTREMES {
        for cells in [0, 1, 63, 64, 65, 131] {
            demands::check_result(&case::<u64>(extreme, cells, (-3, 4)), 3, 5);
        }
        for seats in [2, 3, 4, 5, 6] {
            demands::check_result(&case::<u64>(extreme, 50, whole), seats, 6);
            demands::check_result(&case::<u64>(extreme, 50, (0, u64::MAX.into())), seats, 8);
            demands::check_result(&case::<u128>(extreme, 50, (-(1 << 100), 1 << 90)), seats, 7);
        }
    }
}

#[test]
fn values_outside_the_declared_range_are_refused_before_anything_is_sent() {
    refused(&case::<u64>(Extreme::Min, 1, (0, 9)).shape, 10);
}

#[test]
fn ranges_that_do_not_fit_the_ring_are_refused() {
    let most = i128::from(u64::MAX);
    for range in [(-1, most), (0, most + 1), (5, 4), (i128::MIN, i128::MAX)] {
        refused(&case::<u64>(Extreme::Max, 1, range).shape, range.0);
    }
}

/// Every seat has this one value, and nothing is sent.
fn refused(shape: &ExtremeShape, value: i128) {
    let ended = crate::world::World::new(2, 1).run(async |session| {
        let values = vec![Some(value)];
        let input = ExtremeInput { values };
        let modest = ExtremeShape {
            low: 0,
            high: 9,
            ..*shape
        };
        let needs = extreme::price::<u64>(&modest, Seats::of(session)).needs;
        let mut stock = crate::ideal::stocks(2, &needs, 1).swap_remove(0);
        let found = extreme::extremes::<u64>(session, input, shape, &mut stock).await;
        found.map(|_| ())
    });
    for ended in ended {
        assert!(matches!(
            ended.outcome,
            Err(ProtocolError::InvalidInput { .. })
        ));
        assert_eq!(ended.traffic.rounds, 0);
    }
}
