//! Quantiles over a public domain.

use crate::arith::{Clear, Shared};
use crate::demands::{self, Case, below, elements};
use protocols::arith::compare::Method;
use protocols::correlate::{Stock, StockedRing};
use protocols::error::ProtocolError;
use protocols::price::{Price, Seats};
use protocols::session::Session;
use protocols::stats::quantile::{self, Definition, Fraction, QuantileShape};
use std::fmt::Debug;
use std::marker::PhantomData;

#[derive(Debug)]
struct Quantiles<R> {
    shape: QuantileShape,
    ring: PhantomData<R>,
}

fn case<R>(
    definition: Definition,
    method: Method,
    (cells, domain): (usize, Vec<i128>),
    levels: &[(u32, u32)],
) -> Quantiles<R> {
    let level = |(numerator, denominator): &(u32, u32)| Fraction {
        numerator: *numerator,
        denominator: *denominator,
    };
    let shape = QuantileShape {
        cells,
        domain,
        levels: levels.iter().map(level).collect(),
        definition,
        rows_bits: 7,
        method,
    };
    let ring = PhantomData;
    Quantiles { shape, ring }
}

/// One holder's counts; the first holder has a row in every cell, so that every cell has a quantile.
fn counts(shape: &QuantileShape, secrets: u64, seat: usize) -> Vec<u64> {
    let n = shape.domain.len();
    let mut counts = below(16 * secrets + seat as u64, 1, 12, shape.cells * n);
    // Most values do not occur, and cells of one row are common.
    counts.iter_mut().for_each(|c| *c = c.saturating_sub(9));
    if seat == 0 {
        let at = below(secrets, 2, n as u64, shape.cells);
        at.iter()
            .enumerate()
            .for_each(|(cell, d)| counts[cell * n + *d as usize] += 1);
    }
    counts
}

impl<R: StockedRing> Case for Quantiles<R> {
    type R = R;

    fn expected(&self, n_computing: usize, secrets: u64) -> Clear<R> {
        let counts = (0..n_computing).map(|seat| counts(&self.shape, secrets, seat));
        let found = quantile::oracle(&counts.collect::<Vec<_>>(), &self.shape);
        let of_level = |cells: &Vec<Option<i128>>| elements(cells.iter().map(|v| v.expect("rows")));
        Clear::of_ring(found.iter().map(of_level).collect())
    }

    fn price(&self, seats: Seats) -> Price {
        quantile::price::<R>(&self.shape, seats)
    }

    async fn call(
        &self,
        session: &mut Session,
        secrets: u64,
        _: Shared<R>,
        stock: &mut Stock,
    ) -> Result<Shared<R>, ProtocolError> {
        let counts = counts(&self.shape, secrets, session.seat().index());
        let counts = counts.into_iter().map(R::from_u64).collect();
        let ring = quantile::quantiles::<R>(session, counts, &self.shape, stock).await?;
        Ok(Shared { ring, bits: vec![] })
    }
}

const LEVELS: [(u32, u32); 6] = [(1, 2), (0, 1), (1, 1), (1, 4), (19, 20), (99, 100)];
const DEFINITIONS: [Definition; 2] = [Definition::Discrete, Definition::Linear];
const METHODS: [Method; 2] = [Method::Masked, Method::Summed];

#[test]
fn quantiles_are_those_of_all_rows() {
    for definition in DEFINITIONS {
        for method in METHODS {
            let small = (3, vec![-4, 0, 1, 10]);
            demands::check_all(&case::<u64>(definition, method, small, &[(1, 2), (3, 4)]));
            let cells = (64, vec![3, 4]);
            demands::check_uniform(&case::<u64>(definition, method, cells, &[(1, 2)]), 60);
        }
    }
}

#[test]
fn domains_levels_and_cells_of_any_size() {
    for definition in DEFINITIONS {
        for (cells, n_values) in [(0, 3), (1, 1), (1, 2), (30, 5), (2, 67)] {
            let domain: Vec<i128> = (0..n_values).map(|d| d * d - 50).collect();
            for secrets in 0..3 {
                let domain = (cells, domain.clone());
                let narrow = case::<u64>(definition, Method::Masked, domain.clone(), &LEVELS);
                demands::check_result(&narrow, 2, secrets);
                let wide = case::<u128>(definition, Method::Summed, domain, &LEVELS);
                demands::check_result(&wide, 3, secrets);
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_sent() {
    let fits = case::<u64>(
        Definition::Linear,
        Method::Summed,
        (2, vec![0, 1]),
        &[(1, 2)],
    )
    .shape;
    let wrong = [
        QuantileShape {
            domain: vec![],
            ..fits.clone()
        },
        QuantileShape {
            domain: vec![1, 1],
            ..fits.clone()
        },
        QuantileShape {
            rows_bits: 63,
            ..fits.clone()
        },
        QuantileShape {
            domain: vec![0, 1 << 62],
            ..fits.clone()
        },
        QuantileShape { cells: 3, ..fits },
    ];
    for shape in wrong {
        let ended = crate::world::World::new(2, 1).run(async |session| {
            let (counts, mut stock) = (vec![0u64; 4], Stock::empty());
            let found = quantile::quantiles(session, counts, &shape, &mut stock).await;
            found.map(|_| ())
        });
        for ended in ended {
            let refused = matches!(ended.outcome, Err(ProtocolError::InvalidInput { .. }));
            assert!(refused, "{shape:?}");
            assert_eq!(ended.traffic.rounds, 0);
        }
    }
}
