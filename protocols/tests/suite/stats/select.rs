//! Values at ranks of rows of wide domains.

use crate::arith::{Clear, Shared};
use crate::demands::{self, Case, below};
use protocols::correlate::{Stock, StockedRing};
use protocols::error::ProtocolError;
use protocols::price::{Price, Seats};
use protocols::session::Session;
use protocols::stats::quantile::Fraction;
use protocols::stats::select::{self, Place, SelectInput, SelectShape};
use std::fmt::Debug;
use std::marker::PhantomData;

#[derive(Clone, Debug)]
struct Select<R> {
    rows: [usize; 5],
    cells: usize,
    bits: usize,
    places: Vec<Place>,
    ring: PhantomData<R>,
}

const fn level(numerator: u32, denominator: u32) -> Fraction {
    Fraction {
        numerator,
        denominator,
    }
}

/// Levels 0, 1/3, 1/2, 0.95 and 1, in all ways.
fn places() -> Vec<Place> {
    let levels = [(0, 1), (1, 3), (1, 2), (19, 20), (1, 1)].map(|(a, b)| level(a, b));
    let kinds = [Place::Discrete, Place::Below, Place::Above, Place::Linear];
    let of_level = |p| kinds.map(|kind| kind(p));
    levels.into_iter().flat_map(of_level).collect()
}

impl<R> Select<R> {
    fn new(rows: [usize; 5], cells: usize, bits: usize, places: Vec<Place>) -> Self {
        let ring = PhantomData;
        Self {
            rows,
            cells,
            bits,
            places,
            ring,
        }
    }

    fn shape(&self, n_computing: usize) -> SelectShape {
        SelectShape {
            rows: self.rows[..n_computing].to_vec(),
            cells: self.cells,
            bits: self.bits,
            places: self.places.clone(),
        }
    }

    /// Groups that are full, empty and in between, with many equal values and the greatest one.
    fn input(&self, secrets: u64, seat: usize) -> SelectInput {
        let seed = 16 * secrets + seat as u64;
        let greatest = u64::MAX >> (64 - self.bits);
        let sizes = below(seed, 1, self.rows[seat] as u64 + 2, self.cells);
        let mut rows = Vec::new();
        for (cell, n) in sizes.iter().enumerate() {
            let n = (*n as usize).min(self.rows[seat]);
            let draws = below(seed, 2 + cell as u64, u64::MAX, n);
            let value = |draw: &u64| match draw % 3 {
                0 => greatest,
                1 => ((draw / 3) % 4) & greatest,
                _ => draw & greatest,
            };
            rows.extend(draws.iter().map(|d| (cell as u32, value(d))));
        }
        rows.reverse();
        SelectInput { rows }
    }
}

impl<R: StockedRing> Case for Select<R> {
    type R = R;

    fn expected(&self, n_computing: usize, secrets: u64) -> Clear<R> {
        let inputs = (0..n_computing).map(|seat| self.input(secrets, seat));
        let inputs: Vec<_> = inputs.collect();
        let found = select::oracle(&inputs, &self.shape(n_computing));
        let element = |v: u128| {
            let high = R::from_u64((v >> 64) as u64).shl(32).shl(31).shl(1);
            R::from_u64(v as u64).wrapping_add(high)
        };
        let cells = |values: Vec<u128>| values.into_iter().map(element).collect();
        Clear::of_ring(found.into_iter().map(cells).collect())
    }

    fn price(&self, seats: Seats) -> Price {
        select::price::<R>(&self.shape(seats.n_computing), seats)
    }

    async fn call(
        &self,
        session: &mut Session,
        secrets: u64,
        _: Shared<R>,
        stock: &mut Stock,
    ) -> Result<Shared<R>, ProtocolError> {
        let shape = self.shape(session.n_computing());
        let input = self.input(secrets, session.seat().index());
        let ring = select::select::<R>(session, input, &shape, stock).await?;
        Ok(Shared { ring, bits: vec![] })
    }
}

#[test]
fn values_at_ranks_are_those_of_all_rows() {
    let few = vec![Place::Linear(level(1, 2)), Place::Discrete(level(1, 4))];
    demands::check_all(&Select::<u64>::new([2, 1, 2, 1, 1], 2, 5, few));
}

/// Whatever is opened on the way to a value is masked: the merge, the products with the unit vectors, the
/// conversions of bits, and the product of a quantile of type 7.
#[test]
fn messages_of_selections_look_uniform() {
    let all = vec![
        Place::Discrete(level(1, 4)),
        Place::Above(level(1, 2)),
        Place::Linear(level(19, 20)),
    ];
    let case = Select::<u64>::new([16, 16, 32, 0, 0], 1, 5, all);
    demands::check_uniform_lanes(&case, 40, &[1]);
    let few = vec![Place::Linear(level(1, 2))];
    let case = Select::<u64>::new([8, 8, 16, 0, 0], 2, 7, few);
    demands::check_uniform_lanes(&case, 40, &[2]);
}

#[test]
fn rows_groups_and_values_of_any_size() {
    for (rows, cells) in [
        ([0, 0, 0, 0, 0], 2),
        ([1, 0, 2, 0, 1], 1),
        ([5, 3, 4, 1, 2], 3),
        ([33, 31, 0, 1, 0], 2),
        ([70, 20, 5, 0, 0], 1),
    ] {
        for secrets in 0..3 {
            let narrow = Select::<u64>::new(rows, cells, 40, places());
            demands::check_result(&narrow, 2, secrets);
            let wide = Select::<u128>::new(rows, cells, 64, places());
            demands::check_result(&wide, 3, secrets);
            demands::check_result(&Select::<u64>::new(rows, cells, 1, places()), 5, secrets);
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_sent() {
    let fits = Select::<u64>::new([2; 5], 2, 8, vec![Place::Linear(level(1, 2))]).shape(2);
    let wrong = [
        (fits.clone(), vec![(2, 1)]),
        (fits.clone(), vec![(1, 256)]),
        (fits.clone(), vec![(1, 1), (1, 1), (1, 1)]),
        (
            SelectShape {
                bits: 64,
                ..fits.clone()
            },
            vec![],
        ),
        (
            SelectShape {
                rows: vec![1 << 20; 2],
                ..fits
            },
            vec![],
        ),
    ];
    for (shape, rows) in wrong {
        let ended = crate::world::World::new(2, 1).run(async |session| {
            let modest = SelectShape {
                bits: 8,
                rows: vec![2; 2],
                ..shape.clone()
            };
            let needs = select::price::<u64>(&modest, Seats::of(session)).needs;
            let mut stock = crate::ideal::stocks(2, &needs, 1).swap_remove(0);
            let input = SelectInput { rows: rows.clone() };
            let found = select::select::<u64>(session, input, &shape, &mut stock).await;
            found.map(|_| ())
        });
        for ended in ended {
            let refused = matches!(ended.outcome, Err(ProtocolError::InvalidInput { .. }));
            assert!(refused, "{shape:?}");
            assert_eq!(ended.traffic.rounds, 0);
        }
    }
}
