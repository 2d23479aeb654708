//! The log of an agent and the evidence of a job.
//!
//! Ids: `evidence/append/entries=N`, one transaction on a disk; `evidence/verify/events=N`, a file with that many entries of logs;
//! `evidence/job/steps`, all that a job's governance writes and signs at one agent.

use std::collections::BTreeMap;
use std::path::Path;

use coordinator::contract::{
    Acceptance, CONTRACT_FORMAT, Contract, ContractParty, Digest, JobId, Nonce, PartyName,
    PartyRole, Signed,
};
use coordinator::log::SignedCheckpoint;
use coordinator::tls::Identity;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use party_agent::evidence::{Dossier, Exported, Report, Witness, export, verify};
use party_agent::ledger::{Completion, Grown, Ledger};
use party_agent::net::handshake::session_id;
use party_agent::page;
use party_agent::receipt::{RECEIPT_FORMAT, Receipt};
use tokio::runtime::Runtime;

const NOW: u64 = 1_800_000_000;
const PLAN: &str = r#"{"learns":[],"outputs":[{"name":"n"}],"receivers":["a"],"seats":["a","b"],"shape":{"checks":[],"rule":"none"}}"#;

fn identity(name: &str) -> Identity {
    let name = PartyName::new(name).expect("a name");
    Identity::generate(name, 30).expect("an identity")
}

/// A job of two parties with everything that they sign.
struct Job {
    parties: [Identity; 2],
    contract: Contract,
    signed: Signed<Contract>,
    acceptances: Vec<(Acceptance, Signed<Acceptance>)>,
    pages: BTreeMap<String, String>,
}

impl Job {
    fn new(id: u8) -> Self {
        let parties = ["a", "b"].map(identity);
        let party = |of: &Identity| ContractParty {
            name: of.name().clone(),
            fingerprint: of.fingerprint(),
            role: PartyRole::Holder,
            computing: true,
        };
        let contract = Contract {
            format: CONTRACT_FORMAT,
            job_id: JobId([id; 16]),
            job: "bench".to_owned(),
            purpose: "numbers".to_owned(),
            spec: String::new(),
            proposer: parties[0].name().clone(),
            parties: parties.iter().map(party).collect(),
            receivers: vec![parties[1].name().clone()],
            catalogues: BTreeMap::new(),
            plan: Digest::of(PLAN.as_bytes()),
            created: NOW,
            not_after: NOW + 1,
            supersedes: None,
            resumes: None,
        };
        let signed = Signed::sign(&contract, &parties[0]).expect("signed");
        let pages = BTreeMap::from([("en".to_owned(), "a page".to_owned())]);
        let accept = |of: &Identity| {
            let acceptance = Acceptance {
                job_id: contract.job_id,
                party: of.name().clone(),
                contract: signed.digest(),
                plan: contract.plan,
                nonce: Nonce([id; 32]),
                approved_by: "person".to_owned(),
                pages: page::digests(&pages),
                signed_by: Vec::new(),
                seen: Vec::new(),
                at: NOW,
            };
            let signed = Signed::sign(&acceptance, of).expect("signed");
            (acceptance, signed)
        };
        let acceptances = parties.iter().map(accept).collect();
        Self {
            contract,
            signed,
            acceptances,
            pages,
            parties,
        }
    }

    fn receipt(&self, seat: usize) -> Signed<Receipt> {
        let digest = self.signed.digest();
        let nonces: Vec<Nonce> = self.acceptances.iter().map(|(a, _)| a.nonce).collect();
        let receipt = Receipt {
            format: RECEIPT_FORMAT,
            job_id: self.contract.job_id,
            party: self.parties[seat].name().clone(),
            contract: digest,
            plan: self.contract.plan,
            session: Digest(session_id(&digest, &nonces)),
            engine: "entente".to_owned(),
            started: NOW,
            ended: NOW,
            rounds: 1,
            bytes_sent: BTreeMap::new(),
            bytes_received: BTreeMap::new(),
            routes: BTreeMap::new(),
            contributions: BTreeMap::new(),
            left_out: BTreeMap::new(),
            resumed: None,
            output: (seat == 1).then_some(Digest([0; 32])),
        };
        Signed::sign(&receipt, &self.parties[seat]).expect("signed")
    }

    /// `n` checkpoints of the other party's log, as if seen.
    fn seen(&self, seat: usize, n: u64) -> Vec<Grown> {
        let other = &self.parties[1 - seat];
        let note = |size| SignedCheckpoint::sign(size, Digest([1; 32]), other);
        let grown = (1..=n).map(|size| Grown {
            key: other.fingerprint(),
            new: note(size),
            continues: Vec::new(),
        });
        grown.collect()
    }

    /// The steps of the job at one party, and what it reports.
    async fn run(&self, seat: usize, ledger: &Ledger, seen: &[Grown]) -> Report {
        let id = self.contract.job_id;
        let (acceptance, accepted) = &self.acceptances[seat];
        let proposed = ledger.propose(&self.contract, &self.signed, NOW).await;
        proposed.expect("proposed");
        let done = ledger.accept(acceptance, accepted, None, NOW).await;
        done.expect("accepted");
        ledger.start(id, (&[], &[]), NOW).await.expect("started");
        if !seen.is_empty() {
            ledger.witness(id, seen, &[], NOW).await.expect("witnessed");
        }
        let receipt = self.receipt(seat);
        let report = |log| {
            let receipt = receipt.clone();
            serde_json::to_string(&Report { receipt, log }).expect("JSON")
        };
        let done = Completion {
            receipt: &receipt.digest(),
            file: "{}",
            result: None,
            from: &[],
            identity: &self.parties[seat],
            report: &report,
        };
        let told = ledger.complete(id, &done, NOW).await.expect("completed");
        serde_json::from_str(&told).expect("a report")
    }
}

async fn ledger(dir: &Path, name: &str) -> Ledger {
    Ledger::open(&dir.join(name)).await.expect("opened")
}

/// An evidence file of `n` entries, exported by the party that is no receiver.
async fn file(dir: &Path, n: u64) -> Vec<u8> {
    let job = Job::new(1);
    let mut dossier = Dossier {
        acceptances: job.acceptances.iter().map(|(_, s)| s.clone()).collect(),
        ..Dossier::default()
    };
    for seat in [0, 1] {
        let ledger = ledger(dir, &format!("{n}-{seat}")).await;
        let seen = job.seen(seat, n / 2 - 4);
        let report = job.run(seat, &ledger, &seen).await;
        let owner = job.parties[seat].name().clone();
        let mut note = SignedCheckpoint::parse(&report.log.checkpoint).expect("a note");
        note.cosign(NOW, &job.parties[1 - seat]);
        let seen = BTreeMap::from([(owner.clone(), note.to_string())]);
        let witness = job.parties[1 - seat].name().clone();
        dossier.witnesses.insert(witness, Witness { seen });
        dossier.reports.insert(owner, report);
    }
    let exported = Exported {
        contract: job.signed.clone(),
        pages: job.pages.clone(),
        plan: PLAN.to_owned(),
        output: None,
        now: NOW,
    };
    export(&dossier, exported, &job.parties[0]).expect("a file")
}

fn append(c: &mut Criterion, runtime: &Runtime, dir: &Path) {
    let mut group = c.benchmark_group("evidence/append");
    for n in [1, 100, 1000] {
        let job = Job::new(2);
        let ledger = runtime.block_on(ledger(dir, &format!("append-{n}")));
        let proposed = ledger.propose(&job.contract, &job.signed, NOW);
        runtime.block_on(proposed).expect("proposed");
        let seen = job.seen(0, n);
        group.throughput(Throughput::Elements(n));
        group.bench_function(BenchmarkId::from_parameter(format!("entries={n}")), |b| {
            b.iter(|| {
                let written = ledger.witness(job.contract.job_id, &seen, &[], NOW);
                runtime.block_on(written).expect("written");
            });
        });
    }
    group.finish();
}

fn verified(c: &mut Criterion, runtime: &Runtime, dir: &Path) {
    let mut group = c.benchmark_group("evidence/verify");
    for n in [10, 1000] {
        let bytes = runtime.block_on(file(dir, n));
        let found = verify(&bytes, None).expect("it holds");
        assert_eq!(found.n_entries as u64, n);
        group.throughput(Throughput::Elements(n));
        group.bench_function(BenchmarkId::from_parameter(format!("events={n}")), |b| {
            b.iter(|| verify(&bytes, None).expect("it holds"));
        });
    }
    group.finish();
}

fn job(c: &mut Criterion, runtime: &Runtime, dir: &Path) {
    let mut group = c.benchmark_group("evidence/job");
    group.throughput(Throughput::Elements(1));
    let mut n = 0;
    group.bench_function("steps", |b| {
        b.iter_batched(
            || {
                n += 1;
                let name = format!("job-{n}");
                (Job::new(3), runtime.block_on(ledger(dir, &name)))
            },
            |(job, ledger)| runtime.block_on(job.run(0, &ledger, &[])),
            criterion::BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn all(c: &mut Criterion) {
    let runtime = Runtime::new().expect("threads");
    let dir = tempfile::tempdir().expect("a directory");
    append(c, &runtime, dir.path());
    verified(c, &runtime, dir.path());
    job(c, &runtime, dir.path());
}

criterion_group!(benches, all);
criterion_main!(benches);
