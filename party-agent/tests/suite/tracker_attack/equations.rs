//! The attack by equations (Dobkin, Jones and Lipton, ACM TODS 4(1), 1979): a hundred overlapping cohorts, each far from small, whose
//! sums are solved for single persons. The account that a holder's agent keeps is asked about each, as it is before every run.

use std::collections::BTreeSet;

use coordinator::contract::JobId;
use party_agent::ledger::{Cohort, Ledger, LedgerError};

/// Persons, and the least number of them that figures may tell of.
const PERSONS: u64 = 120;
const LEAST: u64 = 11;

/// 2^31 − 1 is prime: what a person was paid is solved for in this field, and is below it.
const P: u64 = (1 << 31) - 1;

fn paid(person: u64) -> u64 {
    1000 + person * person * 7919 % 90_000
}

/// xorshift64*: small, seeded, the same everywhere.
fn next(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33
}

/// What the attacker asks for: age bands and wards, now and then with somebody let out or put in, and halves drawn at random.
fn asked() -> Vec<BTreeSet<u64>> {
    let mut state = 20_261_123;
    let ages = |from: u64, to: u64| (0..PERSONS).filter(move |p| (from..to).contains(&(p % 60)));
    let mut all = vec![(0..PERSONS).collect()];
    while all.len() < 100 {
        let from = next(&mut state) % 40;
        let mut cohort: BTreeSet<u64> = match next(&mut state) % 3 {
            0 => ages(from, from + 12 + next(&mut state) % 40).collect(),
            1 => (0..PERSONS).filter(|p| p % 5 != from % 5).collect(),
            _ => (0..PERSONS)
                .filter(|_| next(&mut state).is_multiple_of(2))
                .collect(),
        };
        if next(&mut state).is_multiple_of(2) {
            let somebody = next(&mut state) % PERSONS;
            if !cohort.remove(&somebody) {
                cohort.insert(somebody);
            }
        }
        assert!(cohort.len() as u64 >= LEAST, "small by itself");
        all.push(cohort);
    }
    all
}

fn power(base: u64, mut exponent: u64) -> u64 {
    let (mut result, mut square) = (1, base);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = result * square % P;
        }
        square = square * square % P;
        exponent >>= 1;
    }
    result
}

/// Solves the sums: what follows about single persons, each with what it was paid.
fn solved(cohorts: &[BTreeSet<u64>]) -> Vec<(u64, u64)> {
    let equation = |cohort: &BTreeSet<u64>| {
        let sum = cohort.iter().map(|p| paid(*p)).sum::<u64>() % P;
        let members = (0..PERSONS).map(|p| u64::from(cohort.contains(&p)));
        members.chain([sum]).collect::<Vec<u64>>()
    };
    let mut rows: Vec<Vec<u64>> = cohorts.iter().map(equation).collect();
    let mut done = 0;
    for person in 0..PERSONS as usize {
        let Some(pivot) = (done..rows.len()).find(|row| rows[*row][person] != 0) else {
            continue;
        };
        rows.swap(done, pivot);
        let inverse = power(rows[done][person], P - 2);
        rows[done].iter_mut().for_each(|v| *v = *v * inverse % P);
        let lead = rows[done].clone();
        for (_, row) in rows.iter_mut().enumerate().filter(|(at, _)| *at != done) {
            let factor = row[person];
            row.iter_mut()
                .zip(&lead)
                .for_each(|(v, l)| *v = (*v + P - factor * l % P) % P);
        }
        done += 1;
    }
    let alone = |row: &Vec<u64>| {
        let (sum, members) = row.split_last()?;
        let mut persons = members.iter().enumerate().filter(|(_, v)| **v != 0);
        let (person, _) = persons.next()?;
        persons.next().is_none().then_some((person as u64, *sum))
    };
    rows.iter().filter_map(alone).collect()
}

#[tokio::test]
async fn a_hundred_overlapping_cohorts_tell_of_nobody() {
    let asked = asked();
    assert_eq!(asked.len(), 100);
    // Whoever answers all of them is told what this tells: the attack works.
    let without = solved(&asked);
    assert!(without.len() > 10, "{without:?}");
    assert!(without.iter().all(|(person, sum)| paid(*person) == *sum));

    let dir = tempfile::tempdir().expect("a directory");
    let ledger = Ledger::open(&dir.path().join("ledger.sqlite")).await;
    let ledger = ledger.expect("a ledger");
    let mut answered: Vec<BTreeSet<u64>> = Vec::new();
    let mut n_close = 0;
    for (job, cohort) in (0u8..).zip(&asked) {
        let rows = cohort.iter().map(|person| (7000 + person, *person));
        let cohorts = [Cohort(rows.collect())];
        let told = ledger
            .remember_cohorts(JobId([job; 16]), "visits", &cohorts, LEAST, 1)
            .await;
        let is_close = answered.iter().any(|earlier| {
            let n = earlier.symmetric_difference(cohort).count() as u64;
            (1..LEAST).contains(&n)
        });
        n_close += usize::from(is_close);
        match told {
            Ok(()) => {
                assert!(
                    !is_close,
                    "{cohort:?} differs from another in a few persons"
                );
                answered.push(cohort.clone());
            }
            Err(LedgerError::Cohorts { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!(
        answered.len() > 10 && n_close > 10,
        "{} answered, {n_close} close",
        answered.len()
    );
    assert_eq!(solved(&answered), Vec::new());
}
