//! The state machine: every state with every fact, and facts that are lost, repeated and reordered.

use std::collections::{BTreeSet, HashSet, VecDeque};

use coordinator::contract::{Contract, PartyName};
use coordinator::job::state::{Effect, Event, Job, step};
use coordinator::job::{FailureClass, JobState};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use crate::support::{contract, identity, name};

const SEED: u64 = 7_400;

fn three_parties() -> Contract {
    contract(&[&identity("a"), &identity("b"), &identity("c")], 1)
}

/// Every fact that can be stated about the job, a stranger's included.
fn facts(contract: &Contract) -> Vec<Event> {
    let mut facts = vec![
        Event::AllConnected,
        Event::Time {
            now: contract.not_after,
        },
        Event::Time {
            now: contract.not_after + 1,
        },
    ];
    for by in ["a", "b", "c", "stranger"].map(name) {
        facts.push(Event::Accepted { by: by.clone() });
        facts.push(Event::Rejected { by: by.clone() });
        facts.push(Event::Completed { by: by.clone() });
        facts.push(Event::Cancelled { by: by.clone() });
        facts.push(Event::Lost { party: by.clone() });
        for culprit in [None, Some(name("b")), Some(name("stranger"))] {
            facts.push(Event::Failed {
                by: by.clone(),
                class: FailureClass::LinkLost,
                culprit,
            });
        }
    }
    facts
}

fn stranger_speaks(fact: &Event) -> bool {
    let stranger = name("stranger");
    match fact {
        Event::Accepted { by }
        | Event::Rejected { by }
        | Event::Completed { by }
        | Event::Cancelled { by }
        | Event::Failed { by, .. } => *by == stranger,
        Event::Lost { party } => *party == stranger,
        Event::AllConnected | Event::Time { .. } => false,
    }
}

/// Grows along every path: no arrow leads back.
fn rank(job: &Job) -> usize {
    let base = match job.state() {
        JobState::Proposed => 0,
        JobState::Accepted => 10,
        JobState::Running => 20,
        JobState::Completed | JobState::Failed { .. } | JobState::Cancelled { .. } => 100,
    };
    base + job.accepted().len() + job.completed().len()
}

fn check_step(before: &Job, fact: &Event, after: &Job, effects: &[Effect]) {
    let context = format!(
        "{:?} --{fact:?}--> {:?} {effects:?}",
        before.state(),
        after.state()
    );
    assert_eq!(
        effects.is_empty(),
        before == after,
        "effects exactly when something changed: {context}"
    );
    if before.state().is_final() || stranger_speaks(fact) {
        assert_eq!(before, after, "{context}");
    }
    if effects.is_empty() {
        return;
    }
    assert!(rank(after) > rank(before), "{context}");
    assert_eq!(effects[0], Effect::Save, "{context}");
    assert_eq!(
        effects.iter().filter(|e| **e == Effect::Save).count(),
        1,
        "{context}"
    );
    assert_eq!(
        effects.contains(&Effect::Announce),
        before.state() != after.state(),
        "{context}"
    );
    let starts = effects.contains(&Effect::Start);
    assert_eq!(
        starts,
        *after.state() == JobState::Running && before.state() != after.state(),
        "{context}"
    );
    let stops = effects.iter().any(|e| matches!(e, Effect::Stop(_)));
    let is_bad_end = matches!(
        after.state(),
        JobState::Failed { .. } | JobState::Cancelled { .. }
    );
    assert_eq!(stops, is_bad_end, "{context}");
    match after.state() {
        JobState::Accepted => assert_eq!(after.accepted(), after.members(), "{context}"),
        JobState::Running if starts => assert_eq!(*before.state(), JobState::Accepted, "{context}"),
        JobState::Completed => assert_eq!(after.completed(), after.members(), "{context}"),
        JobState::Failed {
            party: Some(party), ..
        }
        | JobState::Cancelled { by: party } => {
            assert!(
                after.members().contains(party),
                "only a member is named: {context}"
            );
        }
        _ => {}
    }
}

#[test]
fn every_reachable_state_with_every_fact() {
    let contract = three_parties();
    let facts = facts(&contract);
    let first = Job::new(&contract);
    let mut seen = HashSet::from([first.clone()]);
    let mut queue = VecDeque::from([first]);
    let mut n_edges = 0;
    while let Some(before) = queue.pop_front() {
        for fact in &facts {
            let mut after = before.clone();
            let effects = step(&mut after, fact.clone());
            check_step(&before, fact, &after, &effects);
            n_edges += 1;
            // The same fact again is no news.
            let mut again = after.clone();
            assert_eq!(step(&mut again, fact.clone()), Vec::new());
            assert_eq!(again, after);
            if seen.insert(after.clone()) {
                queue.push_back(after);
            }
        }
    }
    let reached: HashSet<_> = seen.iter().map(|job| job.state().name()).collect();
    assert_eq!(reached.len(), 6, "all six states are reached: {reached:?}");
    println!("{} states, {n_edges} steps", seen.len());
}

/// The facts of a job in which nothing goes wrong.
fn good_facts(contract: &Contract) -> Vec<Event> {
    let names: Vec<PartyName> = contract.parties.iter().map(|p| p.name.clone()).collect();
    let accepted = names.iter().map(|by| Event::Accepted { by: by.clone() });
    let completed = names.iter().map(|by| Event::Completed { by: by.clone() });
    accepted
        .chain([Event::AllConnected])
        .chain(completed)
        .collect()
}

#[test]
fn an_accepted_job_is_neither_lost_nor_run_twice() {
    println!("seed {SEED}");
    let contract = three_parties();
    let good = good_facts(&contract);
    let mut rng = StdRng::seed_from_u64(SEED);
    for _ in 0..2_000 {
        let mut job = Job::new(&contract);
        let mut n_starts = 0;
        let mut deliver = |job: &mut Job, fact: &Event| {
            n_starts += step(job, fact.clone())
                .iter()
                .filter(|e| **e == Effect::Start)
                .count();
        };
        // Some facts get through, in any order, some of them several times.
        let mut noise: Vec<_> = (0..3)
            .flat_map(|_| good.clone())
            .filter(|_| rng.random_bool(0.5))
            .collect();
        noise.shuffle(&mut rng);
        noise.iter().for_each(|fact| deliver(&mut job, fact));
        assert!(!job.state().is_final() || *job.state() == JobState::Completed);
        // Senders repeat until they are heard: then the job is done, and it was started once.
        good.iter().for_each(|fact| deliver(&mut job, fact));
        assert_eq!(*job.state(), JobState::Completed);
        assert_eq!(n_starts, 1);
    }
}

#[test]
fn any_sequence_of_facts_starts_a_job_at_most_once() {
    println!("seed {SEED}");
    let contract = three_parties();
    let facts = facts(&contract);
    let mut rng = StdRng::seed_from_u64(SEED);
    for _ in 0..5_000 {
        let mut job = Job::new(&contract);
        let mut accepted = BTreeSet::new();
        let mut n_starts = 0;
        for _ in 0..40 {
            let fact = facts[rng.random_range(0..facts.len())].clone();
            if let Event::Accepted { by } = &fact {
                accepted.insert(by.clone());
            }
            if step(&mut job, fact).contains(&Effect::Start) {
                n_starts += 1;
                assert!(
                    accepted.is_superset(job.members()),
                    "started without the acceptance of all"
                );
            }
        }
        assert!(n_starts <= 1);
    }
}

#[test]
fn a_restored_job_goes_on_where_it_was() {
    let contract = three_parties();
    let mut job = Job::new(&contract);
    for fact in good_facts(&contract) {
        let restored = Job::restore(
            &contract,
            job.state().clone(),
            job.accepted().clone(),
            job.completed().clone(),
        );
        assert_eq!(restored, job);
        step(&mut job, fact);
    }
    assert_eq!(*job.state(), JobState::Completed);
}

#[test]
fn expiry_is_for_jobs_that_wait() {
    let contract = three_parties();
    let late = Event::Time {
        now: contract.not_after + 1,
    };
    let mut waiting = Job::new(&contract);
    step(
        &mut waiting,
        Event::Time {
            now: contract.not_after,
        },
    );
    assert_eq!(
        *waiting.state(),
        JobState::Proposed,
        "the last second counts"
    );
    step(&mut waiting, late.clone());
    assert_eq!(
        *waiting.state(),
        JobState::Failed {
            party: None,
            class: FailureClass::Expired
        }
    );

    let mut running = Job::new(&contract);
    good_facts(&contract)
        .into_iter()
        .take(4)
        .for_each(|fact| drop(step(&mut running, fact)));
    assert_eq!(step(&mut running, late), Vec::new());
    assert_eq!(*running.state(), JobState::Running);
}

#[test]
fn a_party_that_has_done_its_part_can_go() {
    let contract = three_parties();
    let mut job = Job::new(&contract);
    good_facts(&contract)
        .into_iter()
        .take(5)
        .for_each(|fact| drop(step(&mut job, fact)));
    assert_eq!(job.completed().len(), 1);
    assert_eq!(step(&mut job, Event::Lost { party: name("a") }), Vec::new());
    step(&mut job, Event::Lost { party: name("b") });
    assert_eq!(
        *job.state(),
        JobState::Failed {
            party: Some(name("b")),
            class: FailureClass::PartyLost
        }
    );
}
