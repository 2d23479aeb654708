//! Who owes whom how much for jobs that were run: computed from evidence alone, so that every party computes the same.
//!
//! The rule stands in the job, which all parties have signed; what each contributed stands in every computing party's signed
//! receipt. A statement is a function of these: no clock, no rate and no record of one's own goes into it, and its
//! canonical bytes are equal wherever it is made.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate};
use coordinator::contract::{Digest, JobId, PartyName, PartyRole, canonical};
use coordinator::tls::Fingerprint;
use serde::Serialize;

use crate::evidence::{Evidence, Fault};
use crate::spec::{self, Basis, Settlement, Stage};

/// First field of every statement.
pub const STATEMENT_FORMAT: &str = "entente-statement/1";

/// What is owed for some jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// [`STATEMENT_FORMAT`].
    pub format: String,
    /// Of which days it is.
    #[serde(skip_serializing_if = "Period::is_open")]
    pub period: Period,
    /// The jobs, by the time at which they ended.
    pub jobs: Vec<JobAccount>,
    /// For each currency and party what it gets less what it owes, in the currency's smallest unit. They add up to 0.
    pub balances: BTreeMap<String, BTreeMap<PartyName, i64>>,
}

/// The days, of UTC, on which jobs of a statement ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Period {
    /// The first of them, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<NaiveDate>,
    /// The last of them, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<NaiveDate>,
}

impl Period {
    fn is_open(&self) -> bool {
        *self == Self::default()
    }

    /// Does a time belong to it, Unix seconds?
    fn has(&self, at: u64) -> bool {
        let at = i64::try_from(at)
            .ok()
            .and_then(|at| DateTime::from_timestamp(at, 0));
        let day = at.map(|at| at.date_naive());
        // A day that no calendar has is after all others.
        let is_after = self
            .from
            .is_none_or(|from| day.is_none_or(|day| day >= from));
        let is_before = self
            .until
            .is_none_or(|until| day.is_some_and(|day| day <= until));
        is_after && is_before
    }
}

/// What is owed for one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JobAccount {
    /// The job.
    pub job_id: JobId,
    /// Its name.
    pub job: String,
    /// Digest of the contract.
    pub contract: Digest,
    /// When the last party ended it, Unix seconds.
    pub ended: u64,
    /// What each holder contributed, in millionths; nothing where no part depends on it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub contributed_ppm: BTreeMap<PartyName, u64>,
    /// How many groups would be missing without each holder; nothing where the job does not ask for it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub missing_without: BTreeMap<PartyName, u64>,
    /// The currency.
    pub currency: String,
    /// What each receiver owes.
    pub owed: BTreeMap<PartyName, u64>,
    /// Who gets how much, and for what.
    pub due: Vec<Due>,
}

/// One party's part of what is paid for a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Due {
    /// What for.
    pub stage: Stage,
    /// `fixed` or `shapley`.
    pub basis: &'static str,
    /// To whom.
    pub party: PartyName,
    /// How much.
    pub minor: u64,
}

/// Why there is no statement.
#[derive(Debug, thiserror::Error)]
pub enum SettlementError {
    /// The evidence cannot be read.
    #[error("{0}")]
    Evidence(#[from] Fault),
    /// A job is there twice.
    #[error("job {0} is there twice: it would be paid twice")]
    Twice(JobId),
    /// A job has no rule.
    #[error("job {0} has no [settlement], so nothing is owed for it")]
    NoRule(JobId),
    /// The receipts tell different things.
    #[error("job {job_id}: the receipt of {party} tells other contributions than that of {other}")]
    Disagreement {
        /// The job.
        job_id: JobId,
        /// Whose receipt differs.
        party: PartyName,
        /// From whose.
        other: PartyName,
    },
    /// A receipt that should tell what holders contributed does not.
    #[error("job {job_id}: no receipt tells what the holders contributed")]
    NotMetered {
        /// The job.
        job_id: JobId,
    },
}

impl Statement {
    /// The statement over the evidence of some jobs, each of which was verified before, in any order. Jobs that ended outside
    /// `period` are left out.
    ///
    /// # Errors
    /// [`SettlementError`].
    pub fn of(evidence: &[Evidence], period: Period) -> Result<Self, SettlementError> {
        let mut jobs = evidence
            .iter()
            .map(account)
            .collect::<Result<Vec<_>, _>>()?;
        jobs.retain(|account| period.has(account.ended));
        jobs.sort_by_key(|account| (account.ended, account.job_id.0));
        let mut ids: Vec<JobId> = jobs.iter().map(|account| account.job_id).collect();
        ids.sort_by_key(|id| id.0);
        if let Some(pair) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(SettlementError::Twice(pair[0]));
        }
        let mut balances: BTreeMap<String, BTreeMap<PartyName, i64>> = BTreeMap::new();
        for account in &jobs {
            let of = balances.entry(account.currency.clone()).or_default();
            for (party, minor) in &account.owed {
                *of.entry(party.clone()).or_default() -= minor.cast_signed();
            }
            for due in &account.due {
                *of.entry(due.party.clone()).or_default() += due.minor.cast_signed();
            }
        }
        Ok(Self {
            format: STATEMENT_FORMAT.to_owned(),
            period,
            jobs,
            balances,
        })
    }

    /// The bytes that every party makes.
    ///
    /// # Panics
    /// Never: every number is an integer below 2^53.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        canonical::encode(self).expect("a statement holds small integers and text")
    }
}

fn account(evidence: &Evidence) -> Result<JobAccount, SettlementError> {
    let key = Fingerprint::of(&evidence.contract.public_key());
    let contract = evidence.contract.verify(&key);
    let contract = contract.map_err(|e| crate::evidence::Check::Contract.fault(e.to_string()))?;
    let job_id = contract.job_id;
    let checked = spec::check(&contract.spec).ok();
    let rule = checked.and_then(|spec| spec.settlement);
    let rule = rule.ok_or(SettlementError::NoRule(job_id))?;
    let receipts = receipts(evidence)?;
    let contributed = match rule.is_metered() {
        true => told(job_id, &receipts, |receipt| &receipt.contributions)?,
        false => BTreeMap::new(),
    };
    let missing_without = match rule.leave_one_out {
        true => told(job_id, &receipts, |receipt| &receipt.left_out)?,
        false => BTreeMap::new(),
    };
    let holders = contract
        .parties
        .iter()
        .filter(|p| p.role == PartyRole::Holder);
    let holders: Vec<PartyName> = holders.map(|p| p.name.clone()).collect();
    let weights: Vec<u64> = holders
        .iter()
        .map(|holder| contributed.get(holder).copied().unwrap_or(0))
        .collect();
    let ppm = match rule.is_metered() {
        true => parts(spec::WHOLE_PPM, &weights),
        false => Vec::new(),
    };
    let mut payers = contract.receivers.clone();
    payers.sort();
    let owed = parts(rule.per_run_minor, &vec![1; payers.len()]);
    Ok(JobAccount {
        job_id,
        job: contract.job.clone(),
        contract: evidence.contract.digest(),
        ended: receipts.values().map(|r| r.ended).max().unwrap_or(0),
        contributed_ppm: holders.iter().cloned().zip(ppm).collect(),
        missing_without,
        due: due(&rule, &holders, &weights),
        currency: rule.currency,
        owed: payers.into_iter().zip(owed).collect(),
    })
}

type Receipts = BTreeMap<PartyName, crate::receipt::Receipt>;

fn receipts(evidence: &Evidence) -> Result<Receipts, SettlementError> {
    let mut receipts = Receipts::new();
    for (party, signed) in &evidence.receipts {
        let receipt = signed.verify(&Fingerprint::of(&signed.public_key()));
        let fault = |e: coordinator::contract::SignError| {
            crate::evidence::Check::Receipts.fault(format!("of {party}: {e}"))
        };
        receipts.insert(party.clone(), receipt.map_err(fault)?);
    }
    Ok(receipts)
}

/// What all receipts that tell of holders' numbers of a kind tell.
fn told(
    job_id: JobId,
    receipts: &Receipts,
    of: fn(&crate::receipt::Receipt) -> &BTreeMap<PartyName, u64>,
) -> Result<BTreeMap<PartyName, u64>, SettlementError> {
    let told = receipts.iter().filter(|(_, r)| !of(r).is_empty());
    let mut told = told.map(|(party, receipt)| (party, of(receipt)));
    let (first, contributions) = told.next().ok_or(SettlementError::NotMetered { job_id })?;
    match told.find(|(_, other)| *other != contributions) {
        None => Ok(contributions.clone()),
        Some((party, _)) => Err(SettlementError::Disagreement {
            job_id,
            party: party.clone(),
            other: first.clone(),
        }),
    }
}

/// Splits the amount by the rule, and each metered part among the holders.
fn due(rule: &Settlement, holders: &[PartyName], weights: &[u64]) -> Vec<Due> {
    let ppm: Vec<u64> = rule.split.iter().map(|part| part.ppm).collect();
    let amounts = parts(rule.per_run_minor, &ppm);
    let mut due = Vec::new();
    for (part, amount) in rule.split.iter().zip(amounts) {
        match &part.to {
            Basis::Fixed(party) => due.push(Due {
                stage: part.stage,
                basis: "fixed",
                party: crate::approve::party_name(party),
                minor: amount,
            }),
            Basis::Shapley => {
                let each = holders.iter().zip(parts(amount, weights));
                due.extend(each.map(|(party, minor)| Due {
                    stage: part.stage,
                    basis: "shapley",
                    party: party.clone(),
                    minor,
                }));
            }
        }
    }
    due
}

/// Splits a whole in proportion to weights, without remainder: each gets its part rounded down, and what is left goes to the
/// largest remainders, the first of equal ones first. Equal parts where all weights are 0.
#[must_use]
pub fn parts(whole: u64, weights: &[u64]) -> Vec<u64> {
    let sum: u128 = weights.iter().map(|w| u128::from(*w)).sum();
    if sum == 0 && !weights.is_empty() {
        return parts(whole, &vec![1; weights.len()]);
    }
    let exact = weights.iter().map(|w| u128::from(whole) * u128::from(*w));
    let (mut found, mut remainders) = (Vec::new(), Vec::new());
    for (place, product) in exact.enumerate() {
        found.push(u64::try_from(product / sum).expect("a part of the whole"));
        remainders.push((product % sum, place));
    }
    let left = whole.saturating_sub(found.iter().sum());
    remainders.sort_by_key(|(remainder, place)| (std::cmp::Reverse(*remainder), *place));
    for (_, place) in remainders
        .into_iter()
        .take(usize::try_from(left).unwrap_or(0))
    {
        found[place] += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_and_go_to_the_largest_remainders() {
        for (whole, weights, expected) in [
            (10, &[1, 1, 1][..], &[4, 3, 3][..]),
            (100, &[1, 2, 4], &[14, 29, 57]),
            (1, &[0, 0], &[1, 0]),
            (7, &[0, 5], &[0, 7]),
            (0, &[3, 4], &[0, 0]),
            (5, &[], &[]),
            (
                1_000_000,
                &[26_787, 13_059, 6_954],
                &[572_372, 279_038, 148_590],
            ),
        ] {
            assert_eq!(parts(whole, weights), expected, "{whole} by {weights:?}");
        }
    }

    #[test]
    fn no_split_of_any_amount_gains_or_loses_a_unit() {
        for whole in (0..5000).step_by(7).chain([1 << 50]) {
            for weights in [
                &[1, 1, 1][..],
                &[3, 0, 11, 5],
                &[40_320, 1],
                &[999_999, 1, 7],
            ] {
                let found = parts(whole, weights);
                assert_eq!(found.iter().sum::<u64>(), whole, "{weights:?}");
                assert!(found.iter().zip(weights).all(|(f, w)| *w > 0 || *f == 0));
            }
        }
    }
}
