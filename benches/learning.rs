//! Secure aggregation among many holders, all of them on this machine, joined by memory.
//!
//! `cargo bench --bench learning` adds up vectors of 10^6 numbers of 5 and of 20 holders, as a round of federated averaging
//! does, and prints the least and the median time of five rounds: masks, messages, sums and checks of all holders together.
//! What a holder sends is declared, and printed as well.

use engine::prg::{Prg, Seed};
use engine::ring;
use protocols::compute::Compute;
use protocols::disclose::{Disclosure, Terms};
use protocols::error::ProtocolError;
use protocols::net::memory;
use protocols::party::Seat;
use protocols::price::Seats;
use protocols::session::{Session, insecure_configs};
use protocols::sums::masked;
use std::error::Error;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

const SEED: [u8; 32] = *b"entente benches: learning, seed!";
const N_PARAMETERS: usize = 1_000_000;
const N_ROUNDS: usize = 5;

/// A holder's vector.
fn own(seat: Seat) -> Vec<u64> {
    let mut values = vec![0; N_PARAMETERS];
    Prg::new(&Seed::from_bytes(SEED), u64::from(seat.0)).fill_ring(&mut values);
    values
}

async fn round(mut session: Session, mine: Vec<u64>) -> Result<(Session, Vec<u64>), ProtocolError> {
    let everybody: Vec<Seat> = session.computing_seats().collect();
    let terms = Terms::of_values(mine.len(), 0, &everybody);
    let sums = masked::sum(&mut session, mine, Disclosure::approved(terms)).await?;
    Ok((session, sums))
}

/// The times of some rounds among so many holders, each checked.
async fn rounds(n_holders: usize) -> Result<Vec<Duration>, Box<dyn Error>> {
    let seed = Seed::from_bytes(SEED);
    let configs = insecure_configs(&seed, memory::network(n_holders), false, Compute::Pool);
    let mut sessions: Vec<Session> = configs.into_iter().map(Session::new).collect();
    let mut expected = vec![0; N_PARAMETERS];
    Seat::first(n_holders).for_each(|seat| ring::add_assign(&mut expected, &own(seat)));
    let mut times = Vec::new();
    for _ in 0..N_ROUNDS {
        let vectors: Vec<Vec<u64>> = Seat::first(n_holders).map(own).collect();
        let begun = Instant::now();
        let tasks = sessions.drain(..).zip(vectors);
        let tasks: Vec<_> = tasks
            .map(|(s, mine)| tokio::spawn(round(s, mine)))
            .collect();
        let mut all = Vec::new();
        for task in tasks {
            all.push(task.await??);
        }
        times.push(begun.elapsed());
        for (session, sums) in all {
            if sums != expected {
                return Err("sums are wrong".into());
            }
            sessions.push(session);
        }
    }
    times.sort();
    Ok(times)
}

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = Runtime::new()?;
    for n_holders in [5, 20] {
        let times = runtime.block_on(rounds(n_holders))?;
        let cost = masked::cost(Seats::computing(n_holders), N_PARAMETERS);
        println!(
            "secure aggregation of {N_PARAMETERS} parameters, {n_holders} holders: least {:.0?}, median {:.0?}; {} rounds, {} bytes sent by a holder",
            times[0],
            times[N_ROUNDS / 2],
            cost.rounds,
            cost.bytes_sent(Seat(0)),
        );
    }
    Ok(())
}
