//! Where seats go on: from the last checkpoint that all have, the same at all of them, at the declared cost.

use crate::world::{Ended, World, all_ok};
use protocols::error::ProtocolError;
use protocols::net::sim::{self, Cut, LinkModel};
use protocols::party::Seat;
use protocols::resume::{Offer, agree, agree_cost};

fn offer(step: u32, of: u8) -> Offer {
    Offer {
        step,
        digest: [of; 32],
    }
}

/// Each seat offers a list of its own.
fn run(world: World, offers: &[Vec<Offer>]) -> Vec<Ended<Option<Offer>>> {
    world.run(async |session| {
        let mine = offers[session.seat().index()].clone();
        agree(session, &mine).await
    })
}

#[track_caller]
fn check(offers: &[Vec<Offer>], expected: Option<Offer>) {
    let n = offers.len();
    let declared = agree_cost(n, n);
    let ended = run(World::new(n, 5), offers);
    for (seat, ended) in ended.iter().enumerate() {
        assert_eq!(ended.traffic.bytes_sent, declared.bytes[seat]);
        assert_eq!(ended.traffic.messages_sent, declared.messages[seat]);
        assert_eq!(u64::from(ended.traffic.rounds), u64::from(declared.rounds));
    }
    assert_eq!(all_ok(ended), vec![expected; n]);
}

#[test]
fn seats_go_on_from_the_last_checkpoint_that_all_have() {
    let (old, new) = (offer(2, 7), offer(4, 9));
    check(&[vec![new, old], vec![old, new]], Some(new));
    // The first was killed before it kept the last one.
    check(
        &[vec![old], vec![old, new], vec![new, old], vec![old]],
        Some(old),
    );
    check(&[vec![old, new], vec![old, new], vec![]], None);
    check(&[vec![], vec![]], None);
    // Of one step, and not of one computation.
    check(&[vec![old, new], vec![old, offer(4, 8)]], Some(old));
    check(&[vec![new], vec![offer(3, 9)]], None);
    // Whatever the order in which a seat tells them.
    let twin = offer(4, 3);
    check(&[vec![twin, new], vec![new, twin]], Some(new));
}

#[test]
fn what_is_told_has_one_length() {
    let sent = |offers: &[Vec<Offer>]| {
        let ended = run(World::new(3, 6), offers);
        let sent = ended.iter().map(|e| e.traffic.bytes_sent.clone());
        sent.collect::<Vec<_>>()
    };
    let none = sent(&[vec![], vec![], vec![]]);
    let two = vec![offer(1, 1), offer(2, 2)];
    assert_eq!(none, sent(&[two.clone(), vec![], two]));
}

#[test]
fn a_dealer_takes_no_part() {
    let world = World::with_dealer(2, true, 7);
    let ended = world.run(
        async |session| match session.dealer() == Some(session.seat()) {
            true => Ok(None),
            false => agree(session, &[offer(3, 1)]).await,
        },
    );
    assert!(ended.iter().all(|e| e.traffic.bytes_sent[2] == 0));
    let found = all_ok(ended);
    assert_eq!(found, [Some(offer(3, 1)), Some(offer(3, 1)), None]);
}

#[test]
fn too_many_or_none_is_no_offer() {
    for mine in [
        vec![offer(0, 1)],
        vec![offer(1, 1), offer(2, 1), offer(3, 1)],
    ] {
        let ended = run(World::new(2, 8), &[mine.clone(), mine]);
        for ended in ended {
            assert_eq!(ended.traffic.bytes_sent.iter().sum::<u64>(), 0);
            let error = ended.outcome.expect_err("no offer");
            assert!(matches!(error, ProtocolError::InvalidInput { .. }));
        }
    }
}

#[test]
fn a_seat_that_is_gone_is_named() {
    let cut = Cut {
        seat: Seat(2),
        at_message: 0,
    };
    let world = World::new(3, 9).on(sim::network(3, LinkModel::LAN, Some(cut)));
    let mine = vec![offer(2, 1)];
    let ended = run(world, &[mine.clone(), mine.clone(), mine]);
    let error = ended[0].outcome.as_ref().expect_err("the link is cut");
    assert!(matches!(error, ProtocolError::Link { .. }), "{error:?}");
}
