//! Jobs over real QUIC: from proposal to end, and all the ways in which they must not go.

use std::sync::Arc;
use std::time::Duration;

use coordinator::client::ClientError;
use coordinator::clock::ManualClock;
use coordinator::config::Limits;
use coordinator::contract::{
    Acceptance, CatalogueDoc, Digest, Directed, JobId, Nonce, Published, Signed,
};
use coordinator::control::{CallError, Event, JobCount};
use coordinator::job::{FailureClass, JobState, Outcome, StopReason};

use crate::support::{
    World, accept, acceptance, completed, contract, directed, identity, name, now, reject,
    wait_for, wait_state, within,
};

fn failed(party: &str, class: FailureClass) -> JobState {
    JobState::Failed {
        party: Some(name(party)),
        class,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_from_proposal_to_completion() {
    let world = World::start(&["a", "b", "c"], Limits::default()).await;
    let mut agents = world.connect_all().await;
    let parties: Vec<_> = world.parties.iter().collect();
    let contract = contract(&parties, 1);
    let signed = Signed::sign(&contract, &world.parties[0]).unwrap();
    agents[0].0.propose(signed.clone()).await.unwrap();
    for (i, (client, events)) in agents.iter_mut().enumerate() {
        let Event::JobProposed(got) =
            wait_for(events, |e| matches!(e, Event::JobProposed(_))).await
        else {
            unreachable!()
        };
        assert_eq!(
            got.verify(&world.parties[0].fingerprint()).unwrap(),
            contract
        );
        client
            .accept(accept(&contract, &world.parties[i]))
            .await
            .unwrap();
    }
    for (_, events) in &mut agents {
        let Event::Start(start) = wait_for(events, |e| matches!(e, Event::Start(_))).await else {
            unreachable!()
        };
        assert_eq!(start.contract, signed);
        for (acceptance, party) in start.acceptances.iter().zip(&world.parties) {
            assert_eq!(
                acceptance.verify(&party.fingerprint()).unwrap().party,
                *party.name()
            );
        }
        assert_eq!(start.addresses.len(), 3);
    }
    for (client, _) in &agents {
        client.report(contract.job_id, completed()).await.unwrap();
    }
    for (client, events) in &mut agents {
        wait_state(events, contract.job_id, |state| {
            *state == JobState::Completed
        })
        .await;
        let view = client.job_status(contract.job_id).await.unwrap();
        assert_eq!(
            (view.state, view.outcomes.len(), view.acceptances.len()),
            (JobState::Completed, 3, 3)
        );
        assert_eq!(client.jobs().await.unwrap()[0].state, JobState::Completed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_ends_the_job_and_names_the_party() {
    let world = World::start(&["a", "b"], Limits::default()).await;
    let mut agents = world.connect_all().await;
    let contract = contract(&[&world.parties[0], &world.parties[1]], 1);
    agents[0]
        .0
        .propose(Signed::sign(&contract, &world.parties[0]).unwrap())
        .await
        .unwrap();
    agents[0]
        .0
        .accept(accept(&contract, &world.parties[0]))
        .await
        .unwrap();
    let rejection = reject(&contract, &world.parties[1]);
    let state = failed("b", FailureClass::Rejected);
    assert_eq!(agents[1].0.reject(rejection.clone()).await.unwrap(), state);
    wait_state(&mut agents[0].1, contract.job_id, |s| *s == state).await;
    let view = agents[0].0.job_status(contract.job_id).await.unwrap();
    assert_eq!(view.rejection, Some(rejection));
    // It is too late to accept.
    assert_eq!(
        agents[1]
            .0
            .accept(accept(&contract, &world.parties[1]))
            .await
            .unwrap(),
        state
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acceptance_that_is_repeated_counts_once_and_the_first_counts() {
    let world = World::start(&["a", "b"], Limits::default()).await;
    let agents = world.connect_all().await;
    let [a, b] = [&world.parties[0], &world.parties[1]];
    let contract = contract(&[a, b], 1);
    agents[0]
        .0
        .propose(Signed::sign(&contract, a).unwrap())
        .await
        .unwrap();
    let first = accept(&contract, a);
    for _ in 0..3 {
        assert_eq!(
            agents[0].0.accept(first.clone()).await,
            Ok(JobState::Proposed)
        );
    }
    let mut other = acceptance(&contract, a);
    other.nonce = Nonce([8; 32]);
    assert_eq!(
        agents[0].0.accept(Signed::sign(&other, a).unwrap()).await,
        Ok(JobState::Proposed)
    );
    assert_eq!(
        agents[0]
            .0
            .job_status(contract.job_id)
            .await
            .unwrap()
            .acceptances,
        vec![first]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn acceptances_that_are_forged() {
    let world = World::start(&["a", "b", "c"], Limits::default()).await;
    let agents = world.connect_all().await;
    let [a, b, c] = [&world.parties[0], &world.parties[1], &world.parties[2]];
    let contract = contract(&[a, b], 1);
    agents[0]
        .0
        .propose(Signed::sign(&contract, a).unwrap())
        .await
        .unwrap();
    let refused = async |sender: usize, acceptance| match agents[sender].0.accept(acceptance).await
    {
        Err(ClientError::Refused(error)) => error,
        other => panic!("{other:?}"),
    };
    // a's own acceptance, sent by b; a's acceptance, signed by b; an acceptance by a member who has no part in the job.
    assert!(matches!(
        refused(1, accept(&contract, a)).await,
        CallError::Invalid { .. }
    ));
    let forged = Signed::sign(&acceptance(&contract, a), b).unwrap();
    assert_eq!(refused(1, forged).await, CallError::NotYours);
    assert_eq!(
        refused(2, accept(&contract, c)).await,
        CallError::UnknownJob
    );
    // Another contract, another plan, another job.
    let wrong = |change: fn(&mut Acceptance)| {
        let mut wrong = acceptance(&contract, b);
        change(&mut wrong);
        Signed::sign(&wrong, b).unwrap()
    };
    let widened = wrong(|a| a.contract = Digest::of(b"widened"));
    assert_eq!(refused(1, widened).await, CallError::OtherContract);
    let other_plan = wrong(|a| a.plan = Digest::of(b"other plan"));
    assert_eq!(refused(1, other_plan).await, CallError::OtherContract);
    let other_job = wrong(|a| a.job_id = JobId([9; 16]));
    assert_eq!(refused(1, other_job).await, CallError::UnknownJob);
    assert_eq!(
        agents[0].0.job_status(contract.job_id).await.unwrap().state,
        JobState::Proposed
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_proposal_changes_nothing() {
    let world = World::start(&["a", "b"], Limits::default()).await;
    let mut agents = world.connect_all().await;
    let contract = world.start_job(&mut agents, 1).await;
    let signed = Signed::sign(&contract, &world.parties[0]).unwrap();
    assert_eq!(
        agents[0].0.propose(signed.clone()).await,
        Ok(JobState::Running)
    );
    for (client, _) in &agents {
        client.report(contract.job_id, completed()).await.unwrap();
    }
    assert_eq!(
        agents[0].0.propose(signed.clone()).await,
        Ok(JobState::Completed)
    );
    assert_eq!(
        agents[0]
            .0
            .accept(accept(&contract, &world.parties[0]))
            .await,
        Ok(JobState::Completed)
    );
    // Replayed by another member, or with other words under the same id.
    let replayed = agents[1].0.propose(signed).await;
    assert!(
        matches!(
            replayed,
            Err(ClientError::Refused(CallError::Invalid { .. }))
        ),
        "{replayed:?}"
    );
    let mut widened = contract.clone();
    widened.receivers.push(name("b"));
    let widened = agents[0]
        .0
        .propose(Signed::sign(&widened, &world.parties[0]).unwrap())
        .await;
    assert_eq!(widened, Err(ClientError::Refused(CallError::JobIdTaken)));
    assert_eq!(agents[0].0.jobs().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn proposals_that_are_refused() {
    let world = World::start(&["a", "b"], Limits::default()).await;
    let agents = world.connect_all().await;
    let [a, b] = [&world.parties[0], &world.parties[1]];
    let good = contract(&[a, b], 1);
    let propose = async |contract| match agents[0]
        .0
        .propose(Signed::sign(&contract, a).unwrap())
        .await
    {
        Err(ClientError::Refused(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        propose(contract(&[a, &identity("z")], 1)).await,
        CallError::NotAMember { party: name("z") }
    );
    // A member's name with another key: what a coordinator that introduces parties would try.
    assert_eq!(
        propose(contract(&[a, &identity("b")], 1)).await,
        CallError::NotAMember { party: name("b") }
    );
    let mut other = good.clone();
    other.proposer = name("b");
    assert_eq!(propose(other).await, CallError::NotYours);
    let mut old = good.clone();
    (old.created, old.not_after) = (now() - 20, now() - 10);
    assert_eq!(propose(old).await, CallError::OutOfTime);
    let mut early = good;
    (early.created, early.not_after) = (now() + 3600, now() + 7200);
    assert_eq!(propose(early).await, CallError::OutOfTime);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_party_can_cancel_and_nobody_else() {
    let world = World::start(&["a", "b", "c"], Limits::default()).await;
    let mut agents = world.connect_all().await;
    let stranger = agents.pop().unwrap();
    let contract = contract(&[&world.parties[0], &world.parties[1]], 1);
    agents[0]
        .0
        .propose(Signed::sign(&contract, &world.parties[0]).unwrap())
        .await
        .unwrap();
    for (i, (client, _)) in agents.iter().enumerate() {
        client
            .accept(accept(&contract, &world.parties[i]))
            .await
            .unwrap();
    }
    wait_for(&mut agents[0].1, |e| matches!(e, Event::Start(_))).await;
    let unknown = Err(ClientError::Refused(CallError::UnknownJob));
    assert_eq!(stranger.0.cancel(contract.job_id).await, unknown);
    assert!(stranger.0.job_status(contract.job_id).await.is_err());
    assert_eq!(
        stranger.0.report(contract.job_id, completed()).await,
        unknown
    );

    let cancelled = JobState::Cancelled { by: name("b") };
    assert_eq!(
        agents[1].0.cancel(contract.job_id).await,
        Ok(cancelled.clone())
    );
    for (client, events) in &mut agents {
        let stop = wait_for(events, |e| matches!(e, Event::Stop { .. })).await;
        let reason = StopReason::Cancelled { by: name("b") };
        assert_eq!(
            stop,
            Event::Stop {
                job_id: contract.job_id,
                reason
            }
        );
        assert_eq!(
            client.cancel(contract.job_id).await,
            Ok(cancelled.clone()),
            "who was first stays"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reported_failure_stops_everybody() {
    let world = World::start(&["a", "b"], Limits::default()).await;
    let mut agents = world.connect_all().await;
    let contract = world.start_job(&mut agents, 1).await;
    let outcome = Outcome::Failed {
        class: FailureClass::PeerMisbehaved,
        culprit: Some(name("b")),
    };
    agents[0].0.report(contract.job_id, outcome).await.unwrap();
    let stop = wait_for(&mut agents[1].1, |e| matches!(e, Event::Stop { .. })).await;
    let reason = StopReason::Failed {
        party: Some(name("b")),
        class: FailureClass::PeerMisbehaved,
    };
    assert_eq!(
        stop,
        Event::Stop {
            job_id: contract.job_id,
            reason
        }
    );
    // The other's late success does not turn it round.
    let state = agents[1].0.report(contract.job_id, completed()).await;
    assert_eq!(state, Ok(failed("b", FailureClass::PeerMisbehaved)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_that_expires_before_it_starts() {
    let clock = Arc::new(ManualClock::at(now()));
    let world = World::start_at(&["a", "b"], Limits::default(), Arc::clone(&clock) as _).await;
    let mut agents = world.connect_all().await;
    let contract = contract(&[&world.parties[0], &world.parties[1]], 1);
    agents[0]
        .0
        .propose(Signed::sign(&contract, &world.parties[0]).unwrap())
        .await
        .unwrap();
    agents[0]
        .0
        .accept(accept(&contract, &world.parties[0]))
        .await
        .unwrap();
    clock.advance(7200);
    let expired = JobState::Failed {
        party: None,
        class: FailureClass::Expired,
    };
    wait_state(&mut agents[1].1, contract.job_id, |state| *state == expired).await;
    assert_eq!(
        agents[1]
            .0
            .accept(accept(&contract, &world.parties[1]))
            .await,
        Ok(expired)
    );
}

/// The book forgets a job once it has ended for as long as the configuration says, and not before.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_ended_long_ago_is_forgotten() {
    const DAY: u64 = 86_400;
    let clock = Arc::new(ManualClock::at(now()));
    let mut limits = Limits::default();
    limits.book.keep_jobs = Duration::from_secs(10 * DAY);
    let world = World::start_at(&["a", "b"], limits, Arc::clone(&clock) as _).await;
    let mut agents = world.connect_all().await;
    let contract = world.start_job(&mut agents, 1).await;
    agents[0].0.cancel(contract.job_id).await.unwrap();
    clock.advance(9 * DAY);
    // Two requests: between them the book looks at the time.
    for _ in 0..2 {
        assert_eq!(agents[0].0.jobs().await.unwrap().len(), 1);
    }
    clock.advance(2 * DAY);
    within("the job is forgotten", async {
        while !agents[0].0.jobs().await.unwrap().is_empty() {}
    })
    .await;
    assert_eq!(
        agents[1].0.job_status(contract.job_id).await.map(|_| ()),
        Err(ClientError::Refused(CallError::UnknownJob))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn catalogues_are_published_and_listed() {
    let world = World::start(&["a", "b"], Limits::default()).await;
    let agents = world.connect_all().await;
    let sign = |version, body: &str| {
        let catalogue = CatalogueDoc {
            party: name("a"),
            version,
            body: body.into(),
            directed: Vec::new(),
        };
        Signed::sign(&catalogue, &world.parties[0]).unwrap()
    };
    assert_eq!(agents[1].0.catalogue(&name("a")).await, Ok(None));
    agents[0].0.publish_catalogue(sign(1, "{}")).await.unwrap();
    agents[0]
        .0
        .publish_catalogue(sign(2, "{\"t\":1}"))
        .await
        .unwrap();
    agents[0]
        .0
        .publish_catalogue(sign(2, "{\"t\":1}"))
        .await
        .unwrap();
    let stale = Err(ClientError::Refused(CallError::StaleCatalogue {
        published: 2,
    }));
    assert_eq!(
        agents[0].0.publish_catalogue(sign(2, "{\"t\":2}")).await,
        stale
    );
    assert_eq!(agents[0].0.publish_catalogue(sign(1, "{}")).await, stale);
    // b cannot publish for a.
    assert!(agents[1].0.publish_catalogue(sign(3, "{}")).await.is_err());
    let read = agents[1].0.catalogue(&name("a")).await.unwrap().unwrap();
    let read = read.catalogue;
    assert_eq!(
        read.verify(&world.parties[0].fingerprint())
            .unwrap()
            .version,
        2
    );
    let directory = agents[1].0.directory().await.unwrap();
    assert_eq!(directory.len(), 2);
    assert_eq!(directory[0].catalogue.unwrap().digest, read.digest());
    assert!(
        directory
            .iter()
            .all(|entry| entry.online && entry.last_seen.is_some())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_description_is_shown_to_its_party_and_to_those_whom_it_is_for() {
    let world = World::start(&["a", "b", "c"], Limits::default()).await;
    let agents = world.connect_all().await;
    let kept = directed("{\"genomes\":1}", &["b"]);
    let sign = |version| {
        let mut digests = vec![kept.digest(), Digest::of(b"nothing"), Digest::of(b"else")];
        digests.sort();
        let catalogue = CatalogueDoc {
            party: name("a"),
            version,
            body: "{}".into(),
            directed: digests,
        };
        Signed::sign(&catalogue, &world.parties[0]).unwrap()
    };
    let published = |version, directed: &[_]| Published {
        catalogue: sign(version),
        directed: directed.to_vec(),
    };
    let publish = |published: Published| agents[0].0.publish_catalogue(published);
    // What a has not signed for is not taken, whether it was changed, is for others, or stands twice.
    let changed = directed("{\"genomes\":2}", &["b"]);
    let for_others = Directed {
        visible_to: vec![name("c")],
        ..kept.clone()
    };
    for wrong in [
        vec![changed],
        vec![for_others],
        vec![kept.clone(), kept.clone()],
    ] {
        assert!(matches!(
            publish(published(1, &wrong)).await,
            Err(ClientError::Refused(CallError::Invalid { .. }))
        ));
    }
    let seen = async |reader: usize| {
        let catalogue = agents[reader].0.catalogue(&name("a")).await.unwrap();
        catalogue.map(|c| (c.catalogue, c.directed))
    };
    assert_eq!(seen(1).await, None);
    // The catalogue alone first, as if the descriptions had been forgotten: they come later.
    publish(published(1, &[])).await.unwrap();
    assert_eq!(seen(1).await, Some((sign(1), Vec::new())));
    publish(published(1, std::slice::from_ref(&kept)))
        .await
        .unwrap();
    assert_eq!(seen(0).await, Some((sign(1), vec![kept.clone()])));
    assert_eq!(seen(1).await, Some((sign(1), vec![kept.clone()])));
    assert_eq!(seen(2).await, Some((sign(1), Vec::new())));
    // Those of the version before are gone with it.
    publish(published(2, &[])).await.unwrap();
    assert_eq!(seen(1).await, Some((sign(2), Vec::new())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_party_has_a_bounded_number_of_jobs() {
    let mut limits = Limits::default();
    limits.book.open_jobs_per_member = 2;
    limits.book.jobs_per_member_per_day = 3;
    let world = World::start(&["a", "b"], limits).await;
    let agents = world.connect_all().await;
    let propose = async |job| {
        let contract = contract(&[&world.parties[0], &world.parties[1]], job);
        agents[0]
            .0
            .propose(Signed::sign(&contract, &world.parties[0]).unwrap())
            .await
    };
    let too_many = |limit, what| Err(ClientError::Refused(CallError::TooManyJobs { limit, what }));
    assert!(propose(1).await.is_ok() && propose(2).await.is_ok());
    assert_eq!(propose(3).await, too_many(2, JobCount::Open));
    agents[1].0.cancel(JobId([1; 16])).await.unwrap();
    assert!(propose(3).await.is_ok());
    agents[1].0.cancel(JobId([2; 16])).await.unwrap();
    assert_eq!(propose(4).await, too_many(3, JobCount::PerDay));
    let receipt = "x".repeat(Outcome::MAX_RECEIPT_BYTES + 1);
    let report = agents[0]
        .0
        .report(JobId([3; 16]), Outcome::Completed { receipt })
        .await;
    assert_eq!(report, Err(ClientError::Refused(CallError::TooLong)));
}
