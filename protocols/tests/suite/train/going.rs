//! What seats keep of a fit in one session, and go on from in another.

use engine::ring;
use engine::share::Share;
use protocols::net::BoxFuture;
use protocols::party::Seat;
use protocols::resume::{Course, Keeper, Standing};
use std::collections::BTreeMap;
use std::future::ready;
use std::sync::Mutex;

/// What all seats keep after each step of a session that begins anew.
#[derive(Debug, Default)]
pub(super) struct Kept {
    shares: Mutex<BTreeMap<(u32, usize), Vec<u128>>>,
    /// After how many steps the next session goes on; 0 to begin anew.
    pub(super) from: u32,
}

impl Kept {
    /// What keeps at a seat.
    pub(super) fn at(&self, seat: Seat) -> AtSeat<'_> {
        AtSeat { kept: self, seat }
    }

    /// The seats' shares after so many steps.
    pub(super) fn shares(&self, step: u32) -> Vec<Vec<u128>> {
        let shares = self.shares.lock().expect("no panic");
        let of_step = shares.iter().filter(|((kept, _), _)| *kept == step);
        of_step.map(|(_, share)| share.clone()).collect()
    }

    /// After which steps something is kept.
    pub(super) fn steps(&self) -> Vec<u32> {
        let shares = self.shares.lock().expect("no panic");
        let mut steps: Vec<u32> = shares.keys().map(|(step, _)| *step).collect();
        steps.dedup();
        steps
    }

    /// What the shares after so many steps stand for.
    pub(super) fn opened(&self, step: u32) -> Vec<u128> {
        let all = self.shares(step).into_iter().reduce(|mut sum, share| {
            ring::add_assign(&mut sum, &share);
            sum
        });
        all.expect("something is kept")
    }
}

/// One seat's part of it.
pub(super) struct AtSeat<'a> {
    kept: &'a Kept,
    seat: Seat,
}

impl AtSeat<'_> {
    /// The course of this seat, of which every step is kept.
    pub(super) fn course(&mut self) -> Course<'_> {
        let (step, seat) = (self.kept.from, self.seat.index());
        let shares = self.kept.shares.lock().expect("no panic");
        let from = shares.get(&(step, seat)).map(|share| Standing {
            step,
            share: Share::new(share.clone()),
        });
        drop(shares);
        Course::new(from, 1, self)
    }
}

impl Keeper for AtSeat<'_> {
    fn keep(&mut self, standing: Standing) -> BoxFuture<'_, ()> {
        let Standing { step, share } = standing;
        let place = (step, self.seat.index());
        // Of the session that begins anew: one that goes on may be of other secrets.
        if self.kept.from == 0 {
            let mut shares = self.kept.shares.lock().expect("no panic");
            shares.insert(place, share.as_slice().to_vec());
        }
        Box::pin(ready(()))
    }
}
