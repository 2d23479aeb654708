//! Three parties add up numbers that none of them shows to the others.
//!
//! This is the protocol library alone, on a network in memory. Run it with
//! `cargo run --release --example three_party_sum`.

use engine::prg::Seed;
use engine::share::Share;
use protocols::arith;
use protocols::compute::Compute;
use protocols::disclose::{Disclosure, Terms, Values, reveal};
use protocols::error::ProtocolError;
use protocols::net::memory;
use protocols::party::Seat;
use protocols::session::{Session, insecure_configs};

#[tokio::main]
async fn main() -> Result<(), ProtocolError> {
    let numbers = [5_200, 4_100, 6_300];
    // All keys come from one seed because all parties run in this process. Real agents make their own.
    let seed = Seed::from_bytes(*b"an example needs no other secret");
    let configs = insecure_configs(&seed, memory::network(3), false, Compute::Inline);
    let parties = configs.into_iter().zip(numbers);
    let parties: Vec<_> = parties
        .map(|(c, n)| tokio::spawn(party(Session::new(c), n)))
        .collect();
    for (i, party) in parties.into_iter().enumerate() {
        match party.await.expect("a party does not panic")? {
            Some(total) => println!("party {i} learns the total: {total}"),
            None => println!("party {i} learns nothing"),
        }
    }
    Ok(())
}

/// What each party runs: share my number, add all shares, reveal the sum to party 0.
async fn party(mut session: Session, number: u64) -> Result<Option<u64>, ProtocolError> {
    let mut total = Share::zero(1);
    for owner in session.computing_seats() {
        let mine = (owner == session.seat()).then(|| vec![number]);
        total.add_assign(&arith::input(&mut session, owner, mine, 1).await?);
    }
    let values = Values {
        narrow: total,
        wide: Share::zero(0),
    };
    let disclosure = Disclosure::approved(Terms::of_values(1, 0, &[Seat(0)]));
    let revealed = reveal(&mut session, values, &[Seat(0)], disclosure).await?;
    Ok(revealed.map(|revealed| revealed.narrow[0]))
}
