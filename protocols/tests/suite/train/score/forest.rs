//! Margins by boosted trees of which each holder knows its own splits, against a walk in the clear.

use super::super::people;
use super::{check_hub, check_refused};
use crate::arith::{Clear, Shared};
use crate::chi_square;
use crate::demands::{self, Case, below};
use protocols::correlate::Stock;
use protocols::disclose::Disclosure;
use protocols::error::ProtocolError;
use protocols::party::Seat;
use protocols::price::{Price, Seats};
use protocols::psi::circuit::Rows;
use protocols::session::Session;
use protocols::train::score::forest::{self, Shape};
use protocols::wire::Kind;
use std::cell::RefCell;

/// Tables of people numbered from 0; each leaves one in five out.
#[derive(Debug)]
struct Walk {
    shape: Shape,
    n_people: usize,
    found: RefCell<Vec<(Seat, Option<Vec<u64>>)>>,
}

fn walk(n_computing: usize, n_people: usize, (n_trees, depth): (usize, u32)) -> Walk {
    Walk {
        shape: Shape {
            tables: people::tables(n_computing, n_people),
            n_trees,
            depth,
        },
        n_people,
        found: RefCell::new(Vec::new()),
    }
}

impl Walk {
    /// Whose each node is; one more than there are tables for a node that is not split.
    fn owners(&self) -> Vec<usize> {
        let n_tables = self.shape.tables.len() as u64;
        let owners = below(0, 7, n_tables + 1, self.shape.n_nodes());
        owners.into_iter().map(|o| o as usize).collect()
    }

    /// Node by node whether each person goes to the right, as the table at a place says.
    fn bits(&self, secrets: u64, place: usize) -> Vec<Vec<u64>> {
        let owners = self.owners().into_iter().enumerate();
        let of_node = |(node, owner): (usize, usize)| match owner == place {
            true => below(secrets, 100 + node as u64, 2, self.n_people),
            false => vec![0; self.n_people],
        };
        owners.map(of_node).collect()
    }

    fn leaves(&self, secrets: u64) -> Vec<u64> {
        below(secrets, 9, u64::MAX, self.shape.n_leaves())
    }

    fn check(&self, secrets: u64) {
        let Shape { n_trees, depth, .. } = self.shape;
        let places = 0..self.shape.tables.len();
        let bits: Vec<_> = places.map(|place| self.bits(secrets, place)).collect();
        let leaves = self.leaves(secrets);
        let of_tree = |tree: usize, person: usize| {
            let mut node = 0;
            for _ in 0..depth {
                let at = tree * ((1 << depth) - 1) + node;
                let owners = bits.iter().enumerate();
                let told = owners.filter(|(place, _)| people::has(*place, person));
                let is_right: u64 = told.map(|(_, bits)| bits[at][person]).sum();
                node = 2 * node + 1 + is_right as usize;
            }
            leaves[(tree << depth) + node + 1 - (1 << depth)]
        };
        let people = people::of(0, self.n_people).into_iter();
        let margins = people.map(|person| {
            let trees = (0..n_trees).map(|tree| of_tree(tree, person));
            trees.fold(0, u64::wrapping_add)
        });
        let margins: Vec<u64> = margins.collect();
        check_hub(self.found.take(), self.shape.tables[0].0, &margins);
    }
}

impl Case for Walk {
    type R = u64;

    fn inputs(&self, secrets: u64) -> Clear<u64> {
        Clear::of_ring(vec![self.leaves(secrets)])
    }

    fn price(&self, seats: Seats) -> Price {
        let released = Price::of_cost(forest::release_cost(seats, &self.shape));
        forest::price(seats, &self.shape).then(&released)
    }

    async fn call(
        &self,
        session: &mut Session,
        secrets: u64,
        mut inputs: Shared<u64>,
        stock: &mut Stock,
    ) -> Result<Shared<u64>, ProtocolError> {
        let seat = session.seat();
        let place = people::place_of(&self.shape.tables, seat);
        let rows = place.map(|place| {
            let mine = people::of(place, self.n_people);
            let of_mine = |bits: &Vec<u64>| mine.iter().map(|p| bits[*p]).collect();
            Rows {
                keys: people::keys(&mine),
                narrow: self.bits(secrets, place).iter().map(of_mine).collect(),
                wide: vec![],
            }
        });
        let leaves = inputs.ring.remove(0);
        let disclosure = Disclosure::approved(self.shape.terms());
        let found =
            forest::margins(session, (rows, leaves), &self.shape, stock, disclosure).await?;
        self.found.borrow_mut().push((seat, found));
        Ok(Shared::default())
    }
}

#[test]
fn margins_are_those_of_a_walk_in_the_clear() {
    for n_computing in [2, 3, 5] {
        for trees in [(3, 3), (1, 1), (130, 2)] {
            let case = walk(n_computing, 60, trees);
            demands::found(&case, n_computing, 3);
            case.check(3);
        }
    }
}

#[test]
fn margins_are_held_to_all_demands() {
    for n_computing in [2, 3] {
        let case = walk(n_computing, 20, (3, 2));
        demands::check_one_sided_price(&case, n_computing);
        demands::check_outline(&case, n_computing);
    }
    demands::check_empty_stock(&walk(2, 20, (2, 2)));
    demands::check_cuts(&walk(3, 5, (2, 2)));
    for (n_computing, has_dealer) in demands::SOURCES {
        let case = walk(n_computing, 30, (2, 3));
        demands::found_from(&case, n_computing, has_dealer);
        case.check(23);
    }
}

#[test]
fn trees_that_are_too_large_are_refused() {
    check_refused(&walk(2, 5, (33, 6)));
    check_refused(&walk(2, 5, (1, 7)));
}

/// The same people in the same order at every holder still make messages that look uniform.
#[test]
fn margins_send_what_looks_uniform() {
    let case = walk(3, 1000, (2, 2));
    let transcripts = demands::recorded(&case, 3, (31, 31));
    let kinds = [Kind::Store, Kind::Hints, Kind::Transfer, Kind::MaskedLanes];
    chi_square::check_received(&transcripts, &kinds, chi_square::whole);
}
