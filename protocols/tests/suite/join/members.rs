//! Which of the hub's keys all others have: told to the hub alone, and only if they are enough.

use super::{item, keys};
use crate::arith::{Clear, Shared};
use crate::chi_square;
use crate::demands::{self, Case};
use crate::world::World;
use engine::share::Share;
use protocols::correlate::Stock;
use protocols::disclose::{Disclosure, Terms};
use protocols::error::ProtocolError;
use protocols::join::Holder;
use protocols::join::members::{self, MemberShape};
use protocols::party::Seat;
use protocols::price::{Price, Seats};
use protocols::psi::Item;
use protocols::session::Session;
use protocols::wire::Kind;

#[derive(Debug)]
struct Told(MemberShape);

impl Told {
    fn bound(&self) -> usize {
        let others = self.0.others.iter().flatten();
        let most = others.chain([&self.0.hub]).map(|h| h.n_rows).max();
        3 * most.unwrap_or(0) / 2
    }

    fn of(&self, holder: &Holder, secrets: u64) -> Vec<u64> {
        keys(secrets, holder.seat, holder.n_rows, self.bound())
    }

    fn items(&self, seat: Seat, secrets: u64) -> Option<Vec<Item>> {
        let mut all = self.0.others.iter().flatten().chain([&self.0.hub]);
        let holder = all.find(|holder| holder.seat == seat)?;
        Some(self.of(holder, secrets).into_iter().map(item).collect())
    }

    /// Which of the hub's keys some holder of each other relation has.
    fn plain(&self, secrets: u64) -> Vec<bool> {
        let relations = self.0.others.iter();
        let others = relations.map(|r| r.iter().flat_map(|h| self.of(h, secrets)));
        let others: Vec<Vec<u64>> = others.map(Iterator::collect).collect();
        let own = self.of(&self.0.hub, secrets).into_iter();
        own.map(|key| others.iter().all(|o| o.contains(&key)))
            .collect()
    }

    fn shown(&self, secrets: u64) -> (bool, Vec<bool>) {
        let plain = self.plain(secrets);
        let n = plain.iter().filter(|is| **is).count() as u64;
        let enough = n >= self.0.at_least || self.0.at_least <= 1;
        let shown = plain.into_iter().map(|is| is && enough);
        (enough, shown.collect())
    }
}

impl Case for Told {
    type R = u64;

    fn expected(&self, _: usize, secrets: u64) -> Clear<u64> {
        let (enough, shown) = self.shown(secrets);
        let shown = shown.into_iter().chain([enough]).map(u64::from);
        Clear::of_ring(vec![shown.collect()])
    }

    fn price(&self, seats: Seats) -> Price {
        members::price(seats, &self.0)
    }

    async fn call(
        &self,
        session: &mut Session,
        secrets: u64,
        _: Shared<u64>,
        stock: &mut Stock,
    ) -> Result<Shared<u64>, ProtocolError> {
        let keys = self.items(session.seat(), secrets);
        let disclosure = Disclosure::approved(self.0.terms());
        let told = members::members(session, &self.0, keys, stock, disclosure).await?;
        let is_hub = session.seat() == self.0.hub.seat;
        assert_eq!(told.of_keys.is_some(), is_hub, "the hub and nobody else");
        assert_eq!(told.enough, self.shown(secrets).0, "told to all");
        let n = self.0.hub.n_rows + 1;
        let column = told.of_keys.map_or(vec![0; n], |keys| {
            let bits = keys.into_iter().chain([told.enough]);
            bits.map(u64::from).collect()
        });
        Ok(Shared {
            ring: vec![Share::new(column)],
            bits: vec![],
        })
    }
}

fn holder(seat: u8, n_rows: usize) -> Holder {
    Holder {
        seat: Seat(seat),
        n_rows,
    }
}

fn of_two(n_hub: usize, n_other: usize, at_least: u64) -> Told {
    Told(MemberShape {
        hub: holder(1, n_hub),
        others: vec![vec![holder(0, n_other)]],
        at_least,
    })
}

/// Two other relations, one of them of two holders.
fn of_three(at_least: u64) -> Told {
    Told(MemberShape {
        hub: holder(2, 12),
        others: vec![vec![holder(0, 9), holder(3, 8)], vec![holder(1, 11)]],
        at_least,
    })
}

#[test]
fn members_meet_every_demand() {
    for at_least in [0, 3] {
        for n_computing in [2, 3, 5] {
            demands::check_one_sided_price(&of_two(6, 5, at_least), n_computing);
        }
    }
    demands::check_course(&of_two(4, 3, 2));
}

#[test]
fn keys_are_told_from_the_least_number_on_and_none_below() {
    for (n_hub, n_other) in [(1, 1), (5, 3), (40, 60), (70, 20)] {
        for secrets in [1, 2, 1001] {
            let plain = of_two(n_hub, n_other, 0).plain(secrets);
            let n = plain.iter().filter(|is| **is).count() as u64;
            for at_least in [0, 1, n, n + 1, 1 << 40] {
                let case = of_two(n_hub, n_other, at_least);
                [2, 3]
                    .iter()
                    .for_each(|seats| demands::check_result(&case, *seats, secrets));
            }
        }
    }
    for at_least in [0, 2, 100] {
        for n_computing in [4, 5] {
            demands::check_result(&of_three(at_least), n_computing, 3);
        }
    }
}

/// A match set that is too small leaves no trace: the hub is sent shares of zeros, however few there are.
#[test]
fn messages_of_members_look_uniform() {
    for at_least in [0, 1 << 40] {
        let case = of_two(3000, 3000, at_least);
        for secrets in [53, 1053] {
            let transcripts = demands::recorded(&case, 2, (secrets, secrets));
            let kinds = [Kind::Store, Kind::Hints, Kind::MaskedLanes, Kind::Opening];
            // A single number is compared in words of which it fills one bit.
            let long = |kind, body: &[u8]| match (kind, body.len()) {
                (Kind::MaskedLanes, ..1000) => Vec::new(),
                _ => body.to_vec(),
            };
            chi_square::check_received(&transcripts, &kinds, long);
        }
    }
}

#[test]
fn what_was_approved_otherwise_is_refused_before_anything_is_sent() {
    let case = of_two(4, 3, 5);
    let mut fewer = case.0.clone();
    fewer.at_least = 1;
    let mut turned = case.0.clone();
    std::mem::swap(&mut turned.hub, &mut turned.others[0][0]);
    let mut empty = case.0.clone();
    empty.others[0][0].n_rows = 0;
    for (shape, is_input) in [(fewer, false), (turned, false), (empty, true)] {
        let ended = World::new(2, 1).run(async |session| {
            let keys = case.items(session.seat(), 1);
            let disclosure = Disclosure::approved(case.0.terms());
            let mut stock = Stock::empty();
            members::members(session, &shape, keys, &mut stock, disclosure).await
        });
        for ended in ended {
            match ended.outcome {
                Err(ProtocolError::InvalidInput { .. }) if is_input => {}
                Err(ProtocolError::NotApproved { .. }) if !is_input => {}
                other => panic!("{shape:?}: {other:?}"),
            }
            assert_eq!(ended.traffic.messages_sent, [0, 0]);
        }
    }
}

#[test]
fn a_disclosure_of_several_releases_is_split_into_these_alone() {
    let [keys, values] = [
        of_two(4, 3, 5).0.terms(),
        Terms::of_values(2, 0, &[Seat(0)]),
    ];
    let both = vec![values.clone(), keys.clone()];
    let approved = || Disclosure::approved(Terms::all(&both));
    let parts = approved().split(both.clone()).expect("as approved");
    let receivers: Vec<&[Seat]> = parts.iter().map(Disclosure::receivers).collect();
    assert_eq!(receivers, [&[Seat(0)][..], &[Seat(1)]]);
    for other in [
        vec![values.clone()],
        vec![keys.clone(), values.clone()],
        vec![values.clone(), keys.clone(), keys.clone()],
        vec![values.clone(), of_two(4, 3, 4).0.terms()],
        vec![Terms::of_values(2, 0, &[Seat(1)]), keys],
    ] {
        let refused = approved().split(other);
        assert!(matches!(refused, Err(ProtocolError::NotApproved { .. })));
    }
}
