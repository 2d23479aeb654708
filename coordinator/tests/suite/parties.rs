//! Parties that come, go, fall silent, come back, or are not let in.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use coordinator::client::{ClientError, CoordinatorClient, Events, Link, LinkError};
use coordinator::clock::SystemClock;
use coordinator::config::{Limits, Members};
use coordinator::contract::{Contract, Signed};
use coordinator::control::{CloseCode, Event};
use coordinator::job::{JobState, StopReason};
use coordinator::server::Server;
use coordinator::tls::Trouble;

use crate::support::{
    HANG, World, accept, completed, contract, expect, identity, name, pins, wait_for, wait_state,
    within,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_job_waits_until_all_are_connected() {
    let world = World::start(&["a", "b"], Limits::default()).await;
    let mut a = world.connect(0);
    let b = world.connect(1);
    let contract = contract(&[&world.parties[0], &world.parties[1]], 1);
    a.0.propose(Signed::sign(&contract, &world.parties[0]).unwrap())
        .await
        .unwrap();
    b.0.accept(accept(&contract, &world.parties[1]))
        .await
        .unwrap();
    b.0.close();
    b.1.closed().await;
    wait_for(&mut a.1, |e| *e == Event::PartyDown { party: name("b") }).await;
    assert_eq!(
        a.0.accept(accept(&contract, &world.parties[0])).await,
        Ok(JobState::Accepted)
    );
    assert_eq!(
        a.0.job_status(contract.job_id).await.unwrap().state,
        JobState::Accepted
    );
    let mut b = world.connect(1);
    for events in [&mut a.1, &mut b.1] {
        wait_for(events, |e| matches!(e, Event::Start(_))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_party_that_says_goodbye_is_lost_at_once_and_one_that_is_done_is_not() {
    let mut limits = Limits::default();
    limits.book.rejoin = HANG * 10;
    let world = World::start(&["a", "b", "c"], limits).await;
    let mut agents = world.connect_all().await;
    let contract = world.start_job(&mut agents, 1).await;
    agents[1]
        .0
        .report(contract.job_id, completed())
        .await
        .unwrap();
    let (b, events) = agents.remove(1);
    b.close();
    events.closed().await;
    wait_for(&mut agents[0].1, |e| {
        *e == Event::PartyDown { party: name("b") }
    })
    .await;
    assert_eq!(
        agents[0].0.job_status(contract.job_id).await.unwrap().state,
        JobState::Running
    );
    let (c, events) = agents.remove(1);
    c.close();
    events.closed().await;
    let stop = wait_for(&mut agents[0].1, |e| matches!(e, Event::Stop { .. })).await;
    let reason = StopReason::PartyLost { party: name("c") };
    assert_eq!(
        stop,
        Event::Stop {
            job_id: contract.job_id,
            reason
        }
    );
}

/// An agent whose process is stopped or killed: nothing is said, and nothing is answered.
struct Frozen {
    /// Nobody drives it any more, and so its connection is as dead as its process would be.
    runtime: tokio::runtime::Runtime,
    _agent: (CoordinatorClient, Events),
}

fn freeze(world: &World, party: usize, contract: &Contract) -> Frozen {
    let (config, accept) = (
        world.client_config(party),
        accept(contract, &world.parties[party]),
    );
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let agent = runtime.block_on(async {
            let (client, mut events) = CoordinatorClient::connect(config);
            client.accept(accept).await.unwrap();
            wait_for(&mut events, |e| matches!(e, Event::Start(_))).await;
            (client, events)
        });
        Frozen {
            runtime,
            _agent: agent,
        }
    });
    thread.join().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_party_that_falls_silent_is_named_to_the_others() {
    let mut limits = Limits::default();
    limits.book.rejoin = Duration::from_millis(100);
    let world = World::start(&["a", "b"], limits).await;
    let (a, mut events) = world.connect(0);
    let contract = contract(&[&world.parties[0], &world.parties[1]], 1);
    a.propose(Signed::sign(&contract, &world.parties[0]).unwrap())
        .await
        .unwrap();
    a.accept(accept(&contract, &world.parties[0]))
        .await
        .unwrap();
    let frozen = tokio::task::block_in_place(|| freeze(&world, 1, &contract));
    let stop = wait_for(&mut events, |e| matches!(e, Event::Stop { .. })).await;
    let reason = StopReason::PartyLost { party: name("b") };
    assert_eq!(
        stop,
        Event::Stop {
            job_id: contract.job_id,
            reason
        }
    );
    frozen.runtime.shutdown_background();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_party_that_comes_back_in_time_goes_on() {
    let mut limits = Limits::default();
    limits.book.rejoin = HANG * 10;
    let world = World::start(&["a", "b"], limits).await;
    let mut agents = world.connect_all().await;
    let contract = world.start_job(&mut agents, 1).await;
    // A second process with the same key: the first is closed, and the job is sent to the second again.
    let (again, mut events) = world.connect(1);
    wait_for(&mut events, |e| matches!(e, Event::Start(_))).await;
    let (first, _) = &agents[1];
    let replaced = CloseCode::Replaced as u64;
    let is_replaced = |link: &Link| matches!(link, Link::Down { why: Some(LinkError::Connection { trouble: Trouble::Closed { code }, .. }), .. } if *code == replaced);
    within("the first is told", first.link().wait_for(is_replaced))
        .await
        .unwrap();
    first.close();
    again.report(contract.job_id, completed()).await.unwrap();
    agents[0]
        .0
        .report(contract.job_id, completed())
        .await
        .unwrap();
    wait_state(&mut events, contract.job_id, |state| {
        *state == JobState::Completed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_are_passed_on() {
    let world = World::start(&["a", "b"], Limits::default()).await;
    let mut config = world.client_config(0);
    config.reachable_at = Some("203.0.113.7:7401".into());
    let a = CoordinatorClient::connect(config);
    let b = world.connect(1);
    let contract = contract(&[&world.parties[0], &world.parties[1]], 1);
    a.0.propose(Signed::sign(&contract, &world.parties[0]).unwrap())
        .await
        .unwrap();
    b.0.wait_up(HANG).await.unwrap();
    let addresses = b.0.addresses(contract.job_id).await.unwrap();
    assert_eq!(addresses[&name("a")].as_deref(), Some("203.0.113.7:7401"));
    assert_eq!(addresses[&name("b")], None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_told_what_to_do() {
    let world = World::start(&["a"], Limits::default()).await;
    let stranger = identity("hospital_9");
    let config = coordinator::client::ClientConfig::new(
        Arc::clone(&stranger),
        world.address.to_string(),
        expect(&world.coordinator),
    );
    let (client, _events) = CoordinatorClient::connect(config);
    let mut link = client.link();
    let refused = within(
        "the link is refused",
        link.wait_for(|link| matches!(link, Link::Down { why: Some(_), .. })),
    )
    .await;
    let Link::Down { why: Some(why), .. } = refused.unwrap().clone() else {
        unreachable!()
    };
    assert!(why.needs_a_person());
    let command = format!("entente keys trust hospital_9 {}", stranger.fingerprint());
    assert!(why.to_string().contains(&command), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_coordinator_says_why_it_has_no_answer() {
    let (a, coordinator) = (identity("a"), identity("coordinator"));
    let mut config =
        coordinator::client::ClientConfig::new(a, "nowhere.invalid:7400", expect(&coordinator));
    config.request_deadline = Duration::from_millis(300);
    let (client, _events) = CoordinatorClient::connect(config);
    let error = client.directory().await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("cannot look up nowhere.invalid:7400"),
        "{error}"
    );
    client.close();
    assert_eq!(client.directory().await, Err(ClientError::Closed));
}

#[tokio::test(flavor = "multi_thread")]
async fn members_come_and_go_while_the_coordinator_runs() {
    let (coordinator, a, b) = (identity("coordinator"), identity("a"), identity("b"));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("trusted.toml");
    pins([&a]).save(&file).unwrap();
    let world = World::start(&[], Limits::default()).await;
    let mut config = world.config(Limits::default(), Arc::new(SystemClock));
    config.identity = Arc::clone(&coordinator);
    config.listen.set_port(0);
    config.state_dir = dir.path().join("state");
    config.members = Members {
        file: Some(file.clone()),
        ..Members::default()
    };
    let server = Server::bind(config).await.unwrap();
    let address = server.local_addr().to_string();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let task = tokio::spawn(server.run(async { drop(stopped.await) }));
    let connect = |identity| {
        CoordinatorClient::connect(coordinator::client::ClientConfig::new(
            identity,
            address.clone(),
            expect(&coordinator),
        ))
    };
    let (client_a, _events_a) = connect(Arc::clone(&a));
    let (client_b, _events_b) = connect(Arc::clone(&b));
    client_a.wait_up(HANG).await.unwrap();
    // b is refused until its key is added, and then gets in by itself; a is put out.
    let is_down =
        |link: &Link| matches!(link, Link::Down { why: Some(why), .. } if why.needs_a_person());
    within("b is refused", client_b.link().wait_for(is_down))
        .await
        .unwrap();
    pins([&b]).save(&file).unwrap();
    client_b.wait_up(HANG).await.unwrap();
    within("a is put out", client_a.link().wait_for(is_down))
        .await
        .unwrap();
    // A file that cannot be read leaves the list as it was.
    fs::write(&file, "nonsense").unwrap();
    assert_eq!(client_b.directory().await.unwrap().len(), 1);
    stop.send(()).unwrap();
    within("the coordinator ends", task).await.unwrap();
}
