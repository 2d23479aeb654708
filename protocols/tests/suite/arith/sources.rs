//! Every protocol from the correlations of the sources themselves, instead of the ideal one's.

use super::ops::{self, Op};
use super::{Clear, Shared, demands, joined};
use crate::world::{World, all_ok, prg};
use protocols::correlate::{self, Needs, Source, StockedRing, dealer};
use protocols::party::Seat;
use protocols::price::Seats;
use std::sync::Mutex;

const N_ITEMS: usize = 70;

/// Prepares everything at once, and runs all protocols one after another on what was prepared.
fn check<R: StockedRing>(n_computing: usize, source: Source) {
    let has_dealer = source.extra_seats() == 1;
    let seats = Seats {
        n_seats: n_computing + source.extra_seats(),
        n_computing,
    };
    let ops = ops::all::<R>();
    let needs = ops.iter().map(|op| op.price::<R>(seats, N_ITEMS).needs);
    let needs: Needs = needs.sum();
    let mut prg = prg(30);
    let inputs: Vec<Clear<R>> = ops.iter().map(|op| op.inputs(N_ITEMS, &mut prg)).collect();
    let mut shares: Vec<Vec<Shared<R>>> = (0..n_computing).map(|_| Vec::new()).collect();
    for clear in &inputs {
        let parts = clear.split(n_computing, &mut prg);
        shares.iter_mut().zip(parts).for_each(|(s, p)| s.push(p));
    }
    let shares = Mutex::new(shares.into_iter().map(Some).collect::<Vec<_>>());
    let world = World::with_dealer(n_computing, has_dealer, 30);
    let ended = world.run(async |session| {
        if session.dealer() == Some(session.seat()) {
            return dealer::serve(session, &needs).await.map(|()| Vec::new());
        }
        let mine = shares.lock().expect("no panic")[session.seat().index()].take();
        let mut stock = correlate::preprocess(session, &source, &needs).await?;
        let mut outputs = Vec::new();
        for (op, shares) in ops.iter().zip(mine.expect("each seat takes its part once")) {
            outputs.push(op.call(session, &shares, &mut stock).await?);
        }
        assert!(
            stock.left().is_nothing(),
            "everything that was made was used"
        );
        Ok(outputs)
    });
    let mut outputs = all_ok(ended);
    outputs.truncate(n_computing);
    let mut outputs: Vec<_> = outputs.into_iter().map(Vec::into_iter).collect();
    let both: Vec<(&Op, &Clear<R>)> = ops.iter().zip(&inputs).collect();
    for (op, inputs) in both {
        let parts = outputs.iter_mut().map(|o| o.next().expect("an output"));
        demands::assert_result(*op, &joined(parts.collect()), inputs);
    }
}

#[test]
fn every_protocol_runs_from_a_dealer() {
    for n_computing in [2, 3, 5] {
        let seat = Seat::from_index(n_computing);
        check::<u64>(n_computing, Source::Dealer { seat });
    }
    check::<u128>(3, Source::Dealer { seat: Seat(3) });
}

#[test]
fn every_protocol_runs_from_oblivious_transfer() {
    check::<u64>(2, Source::Ot);
    check::<u64>(3, Source::Ot);
    check::<u128>(2, Source::Ot);
}
