//! The relay, end to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use coordinator::client::{ClientError, CoordinatorClient, Events};
use coordinator::config::Limits;
use coordinator::contract::JobId;
use coordinator::control::{Event, RelayRefusal};
use quinn::{RecvStream, SendStream};

use crate::support::{World, name, wait_for, within};

type Agents = Vec<(CoordinatorClient, Events)>;
type Leg = (SendStream, RecvStream);

const MIB: usize = 1 << 20;

async fn world(names: &[&str]) -> (World, Agents, JobId) {
    let mut limits = Limits::default();
    limits.relay.wait = Duration::from_millis(500);
    let world = World::start(names, limits).await;
    let mut agents = world.connect_all().await;
    let job_id = world.start_job(&mut agents, 1).await.job_id;
    (world, agents, job_id)
}

/// Opens both legs between two agents.
async fn pair(agents: &Agents, job_id: JobId, i: usize, j: usize) -> (Leg, Leg) {
    let names = ["a", "b", "c"].map(name);
    let legs = async {
        tokio::try_join!(
            agents[i].0.open_relay(job_id, &names[j]),
            agents[j].0.open_relay(job_id, &names[i])
        )
    };
    within("both legs", legs).await.unwrap()
}

fn noise(n_bytes: usize) -> Vec<u8> {
    (0..n_bytes)
        .map(|i| ((i * 2_654_435_761) >> 13) as u8)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_arrive_both_ways_and_the_end_is_passed_on() {
    let (_world, agents, job_id) = world(&["a", "b"]).await;
    let (mut a, mut b) = pair(&agents, job_id, 0, 1).await;
    let (forth, back) = (noise(5 * MIB + 7), noise(3 * MIB + 1));
    let talk = async {
        let send_a = async {
            a.0.write_all(&forth).await.unwrap();
            a.0.finish().unwrap();
        };
        let send_b = async {
            b.0.write_all(&back).await.unwrap();
            b.0.finish().unwrap();
        };
        tokio::join!(
            send_a,
            send_b,
            a.1.read_to_end(8 * MIB),
            b.1.read_to_end(8 * MIB)
        )
    };
    let (_, _, at_a, at_b) = within("both ways", talk).await;
    assert!(at_a.unwrap() == back && at_b.unwrap() == forth);
    // The pair is free again.
    pair(&agents, job_id, 0, 1).await;
}

async fn refused(client: &CoordinatorClient, job_id: JobId, peer: &str) -> RelayRefusal {
    match within("a refusal", client.open_relay(job_id, &name(peer))).await {
        Err(ClientError::Relay { refusal, .. }) => refusal,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_parties_of_a_running_job_get_a_leg() {
    let world = World::start(&["a", "b", "c"], Limits::default()).await;
    let mut agents = world.connect_all().await;
    let contract = crate::support::contract(&[&world.parties[0], &world.parties[1]], 1);
    let signed = coordinator::contract::Signed::sign(&contract, &world.parties[0]).unwrap();
    agents[0].0.propose(signed).await.unwrap();
    let job_id = contract.job_id;
    assert_eq!(
        refused(&agents[0].0, job_id, "b").await,
        RelayRefusal::NotRunning,
        "not accepted yet"
    );
    for ((client, _), party) in agents.iter().zip(&world.parties).take(2) {
        client
            .accept(crate::support::accept(&contract, party))
            .await
            .unwrap();
    }
    wait_for(&mut agents[0].1, |e| matches!(e, Event::Start(_))).await;
    for (i, peer) in [(2, "a"), (0, "c"), (0, "a"), (0, "nobody")] {
        assert_eq!(
            refused(&agents[i].0, job_id, peer).await,
            RelayRefusal::NotRunning
        );
    }
    assert_eq!(
        refused(&agents[0].0, JobId([9; 16]), "b").await,
        RelayRefusal::NotRunning
    );
    let _legs = pair(&agents, job_id, 0, 1).await;
    assert_eq!(refused(&agents[0].0, job_id, "b").await, RelayRefusal::Busy);
    agents[0].0.cancel(job_id).await.unwrap();
    assert_eq!(
        refused(&agents[0].0, job_id, "b").await,
        RelayRefusal::NotRunning
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leg_without_its_other_half_ends() {
    let (_world, agents, job_id) = world(&["a", "b"]).await;
    assert_eq!(
        refused(&agents[0].0, job_id, "b").await,
        RelayRefusal::PeerAbsent
    );
    // The same party again, while its first leg waits: the later one counts.
    let first = tokio::spawn({
        let client = agents[0].0.clone();
        async move { drop(client.open_relay(job_id, &name("b")).await) }
    });
    let (a, b) = (name("a"), name("b"));
    let both = async {
        loop {
            let again = agents[0].0.open_relay(job_id, &b);
            if let (Ok(leg), Ok(other)) = tokio::join!(again, agents[1].0.open_relay(job_id, &a)) {
                return (leg, other);
            }
        }
    };
    let _ = within("one of the legs is joined", async {
        tokio::join!(both, first)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_ends_with_its_job_and_not_as_if_all_had_been_said() {
    let (_world, agents, job_id) = world(&["a", "b"]).await;
    let (mut a, mut b) = pair(&agents, job_id, 0, 1).await;
    a.0.write_all(b"half a sentence").await.unwrap();
    within("the bytes arrive", b.1.read_exact(&mut [0; 15]))
        .await
        .unwrap();
    agents[1].0.cancel(job_id).await.unwrap();
    for recv in [&mut a.1, &mut b.1] {
        let end = within("the leg ends", recv.read(&mut [0; 16])).await;
        assert!(matches!(end, Err(quinn::ReadError::Reset(_))), "{end:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leg_whose_agent_is_gone_ends() {
    let (_world, mut agents, job_id) = world(&["a", "b"]).await;
    let (_a, mut b) = pair(&agents, job_id, 0, 1).await;
    let (client, events) = agents.remove(0);
    client.close();
    events.closed().await;
    assert!(
        within("the leg ends", b.1.read(&mut [0; 16]))
            .await
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leg_that_is_not_read_holds_up_nobody_and_fills_no_memory() {
    const TOTAL: u64 = 96 * MIB as u64;
    let (_world, agents, job_id) = world(&["a", "b", "c"]).await;
    let (mut stalled, mut unread) = pair(&agents, job_id, 0, 1).await;
    let n_written = Arc::new(AtomicU64::new(0));
    let writer = tokio::spawn({
        let n_written = Arc::clone(&n_written);
        async move {
            let chunk = noise(64 << 10);
            while n_written.load(Ordering::SeqCst) < TOTAL {
                stalled.0.write_all(&chunk).await.unwrap();
                n_written.fetch_add(chunk.len() as u64, Ordering::SeqCst);
            }
            stalled.0.finish().unwrap();
            stalled
        }
    });
    // Meanwhile the same two agents talk to the third, and to the coordinator.
    for (i, peer) in [(0, 2), (1, 2)] {
        let (mut from, mut to) = pair(&agents, job_id, i, peer).await;
        let bytes = noise(40 * MIB);
        let talk = async {
            let send = async {
                from.0.write_all(&bytes).await.unwrap();
                from.0.finish().unwrap();
            };
            tokio::join!(send, to.1.read_to_end(48 * MIB)).1
        };
        assert!(within("the other pairs", talk).await.unwrap() == bytes);
        assert!(agents[i].0.directory().await.is_ok());
    }
    // Two windows of 2 MiB and what is being copied: a bound that does not grow with the total.
    let n_taken = n_written.load(Ordering::SeqCst);
    assert!(
        n_taken <= 6 * MIB as u64,
        "{n_taken} bytes were taken for a leg that nobody reads"
    );
    let received = within(
        "the stalled leg goes on",
        unread.1.read_to_end(TOTAL as usize + MIB),
    )
    .await
    .unwrap();
    assert_eq!(received.len() as u64, n_written.load(Ordering::SeqCst));
    let _ = within("the writer ends", writer).await.unwrap();
}
