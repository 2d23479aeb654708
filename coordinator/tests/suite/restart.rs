//! The coordinator is killed, at every point at which it could have told somebody something that it does not remember.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use coordinator::client::{ClientConfig, ClientError, CoordinatorClient, Events};
use coordinator::clock::SystemClock;
use coordinator::config::{CoordinatorConfig, Limits};
use coordinator::contract::{Contract, JobId, Nonce, Signed};
use coordinator::control::{CallError, Event};
use coordinator::job::book::Probe;
use coordinator::job::{JobState, Outcome};
use coordinator::server::Server;
use coordinator::tls::Identity;
use tokio::task::JoinSet;

use crate::support::{
    HANG, World, acceptance, contract, expect, identity, pins, wait_for, wait_state, within,
};

/// Set for the child process only: the directory with its configuration.
const DIR: &str = "ENTENTE_TEST_COORDINATOR_DIR";
/// At which call of the probe the child stops for ever; 0 for never.
const STOP_AT: &str = "ENTENTE_TEST_STOP_AT";

const LISTENING: &str = "child listens on ";
const STOPPED: &str = "child has stopped at ";

/// Not a test by itself: a coordinator in a process of its own, which can be killed.
#[test]
fn child_coordinator() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let stop_at: usize = std::env::var(STOP_AT).unwrap().parse().unwrap();
    let n_calls = AtomicUsize::new(0);
    let mut config = CoordinatorConfig::load(&Path::new(&dir).join("coordinator.toml")).unwrap();
    // How long the agents take to come back depends on the machine, and is not what is tested.
    (
        config.limits.book.rejoin,
        config.limits.book.rejoin_after_start,
    ) = (HANG, HANG);
    config.probe = Probe::new(move |point, state| {
        if n_calls.fetch_add(1, Ordering::SeqCst) + 1 == stop_at {
            println!("{STOPPED}{point:?} {state}");
            loop {
                std::thread::park();
            }
        }
    });
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let server = Server::bind(config).await.unwrap();
        println!("{LISTENING}{}", server.local_addr());
        server.run(std::future::pending()).await;
    });
}

/// A directory with a coordinator's files, and its members.
struct Site {
    dir: tempfile::TempDir,
    coordinator: Arc<Identity>,
    parties: Vec<Arc<Identity>>,
    address: SocketAddr,
}

impl Site {
    fn new(names: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let coordinator = identity("coordinator");
        coordinator.save(&dir.path().join("identity")).unwrap();
        let parties: Vec<_> = names.iter().map(|name| identity(name)).collect();
        pins(&parties)
            .save(&dir.path().join("trusted.toml"))
            .unwrap();
        let site = Self {
            dir,
            coordinator,
            parties,
            address: (Ipv4Addr::LOCALHOST, 0).into(),
        };
        site.write_config();
        site
    }

    fn write_config(&self) {
        let rest = "identity = \"identity\"\nstate_dir = \"state\"\ntrusted = \"trusted.toml\"\n";
        let text = format!("listen = \"{}\"\n{rest}", self.address);
        std::fs::write(self.dir.path().join("coordinator.toml"), text).unwrap();
    }

    /// Starts the child; later starts use the address of the first.
    fn spawn(&mut self, stop_at: usize) -> (Killable, Lines) {
        self.spawn_as(Command::new(std::env::current_exe().unwrap()), stop_at)
    }

    /// Like [`Site::spawn`], with files that cannot grow beyond half a mebibyte: a disk that is full.
    fn spawn_on_a_full_disk(&mut self) -> (Killable, Lines) {
        let mut shell = Command::new("sh");
        let limited = "trap '' XFSZ; ulimit -f 1024; exec \"$0\" \"$@\"";
        shell
            .args(["-c", limited])
            .arg(std::env::current_exe().unwrap());
        self.spawn_as(shell, 0)
    }

    fn spawn_as(&mut self, mut command: Command, stop_at: usize) -> (Killable, Lines) {
        let mut child = command
            .args([
                "--exact",
                "restart::child_coordinator",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(DIR, self.dir.path())
            .env(STOP_AT, stop_at.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        self.address = line_after(&mut lines, LISTENING).parse().unwrap();
        self.write_config();
        (Killable(child), lines)
    }

    fn connect(&self, party: usize) -> (CoordinatorClient, Events) {
        let identity = Arc::clone(&self.parties[party]);
        let config = ClientConfig::new(
            identity,
            self.address.to_string(),
            expect(&self.coordinator),
        );
        CoordinatorClient::connect(ClientConfig {
            request_deadline: HANG,
            ..config
        })
    }
}

/// A child process that does not outlive the test.
struct Killable(Child);

impl Killable {
    /// SIGKILL.
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Killable {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

type Lines = std::io::Lines<BufReader<std::process::ChildStdout>>;

/// The rest of the next line in which `mark` stands.
fn line_after(lines: &mut Lines, mark: &str) -> String {
    let mut rest = lines
        .map_while(Result::ok)
        .filter_map(|line| Some(line.split_once(mark)?.1.to_owned()));
    rest.next()
        .expect("the child ended without the expected line")
}

/// What an agent must never forget: which jobs it has accepted, under which nonce, and which it has run.
#[derive(Default)]
struct Ledger {
    nonces: BTreeMap<JobId, Nonce>,
    n_runs: BTreeMap<JobId, u32>,
}

/// An agent that accepts everything, runs each job once, and reports success.
async fn agent(
    client: CoordinatorClient,
    mut events: Events,
    me: Arc<Identity>,
    proposer: Arc<Identity>,
) -> Ledger {
    let mut ledger = Ledger::default();
    loop {
        match events.next().await.expect("the client is open") {
            Event::JobProposed(signed) => {
                let contract: Contract = signed.verify(&proposer.fingerprint()).unwrap();
                let n = ledger.nonces.len() as u8;
                let nonce = *ledger
                    .nonces
                    .entry(contract.job_id)
                    .or_insert(Nonce([n; 32]));
                let mut acceptance = acceptance(&contract, &me);
                acceptance.nonce = nonce;
                client
                    .accept(Signed::sign(&acceptance, &me).unwrap())
                    .await
                    .unwrap();
            }
            Event::Start(start) => {
                let contract = start.contract.verify(&proposer.fingerprint()).unwrap();
                let own = start
                    .acceptances
                    .iter()
                    .find_map(|a| a.verify(&me.fingerprint()).ok())
                    .unwrap();
                assert_eq!(
                    own.nonce, ledger.nonces[&contract.job_id],
                    "the acceptance that was signed"
                );
                *ledger.n_runs.entry(contract.job_id).or_default() +=
                    u32::from(!ledger.n_runs.contains_key(&contract.job_id));
                client
                    .report(
                        contract.job_id,
                        Outcome::Completed {
                            receipt: "{}".into(),
                        },
                    )
                    .await
                    .unwrap();
            }
            Event::JobState { state, .. } if state.is_final() => {
                assert_eq!(state, JobState::Completed);
                client.close();
                events.closed().await;
                return ledger;
            }
            Event::Stop { reason, .. } => panic!("the job was stopped: {reason:?}"),
            _ => {}
        }
    }
}

/// How often the probe is called in a job of two that goes well: proposal, two acceptances, start and two reports,
/// each before and after it is written and after all are told.
const N_POINTS: usize = 18;

/// Runs one job, with the coordinator killed at the `stop_at`-th call of its probe if there is one.
async fn job_with_a_kill(stop_at: usize) {
    let mut site = Site::new(&["a", "b"]);
    let (child, mut lines) = tokio::task::block_in_place(|| site.spawn(stop_at));
    let contract = contract(&[&site.parties[0], &site.parties[1]], 1);
    let mut agents = Vec::new();
    for i in 0..2 {
        let (client, events) = site.connect(i);
        if i == 0 {
            let signed = Signed::sign(&contract, &site.parties[0]).unwrap();
            let proposer = client.clone();
            tokio::spawn(async move { proposer.propose(signed).await });
        }
        let (me, proposer) = (Arc::clone(&site.parties[i]), Arc::clone(&site.parties[0]));
        agents.push(tokio::spawn(agent(client, events, me, proposer)));
    }
    let (mut child, mut place) = (child, None);
    if stop_at <= N_POINTS {
        let stopped = tokio::task::spawn_blocking(move || line_after(&mut lines, STOPPED));
        place = Some(
            within("the coordinator gets to its point", stopped)
                .await
                .unwrap(),
        );
        child.kill();
        (child, _) = tokio::task::block_in_place(|| site.spawn(0));
    }
    println!("killed at {place:?}");
    for agent in agents {
        let ledger = within("the job goes on", agent).await.unwrap();
        assert_eq!(
            ledger.n_runs,
            BTreeMap::from([(contract.job_id, 1)]),
            "killed at {place:?}"
        );
    }
    child.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_point_a_job_is_neither_lost_nor_run_twice() {
    // The runs wait for each other's processes more than they work: all at once.
    let mut runs: JoinSet<()> = (1..=N_POINTS + 1).map(job_with_a_kill).collect();
    while let Some(run) = runs.join_next().await {
        run.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn restarted_in_order_while_a_job_runs() {
    let mut world = World::start(&["a", "b"], Limits::default()).await;
    let mut agents = world.connect_all().await;
    let contract = world.start_job(&mut agents, 1).await;
    agents[0]
        .0
        .report(
            contract.job_id,
            Outcome::Completed {
                receipt: "{}".into(),
            },
        )
        .await
        .unwrap();
    world.stop().await;
    world.run(Limits::default(), Arc::new(SystemClock)).await;
    // The one that is not done is told to run (its ledger knows that it does), the one that is done is not.
    wait_for(&mut agents[1].1, |e| matches!(e, Event::Start(_))).await;
    agents[1]
        .0
        .report(
            contract.job_id,
            Outcome::Completed {
                receipt: "{}".into(),
            },
        )
        .await
        .unwrap();
    for (_, events) in &mut agents {
        wait_state(events, contract.job_id, |state| {
            *state == JobState::Completed
        })
        .await;
    }
    // What ended while an agent was away, it is told when it comes back.
    let (_again, mut events) = world.connect(0);
    wait_state(&mut events, contract.job_id, |state| {
        *state == JobState::Completed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_party_that_does_not_come_back_after_a_restart_is_lost() {
    let mut limits = Limits::default();
    let mut world = World::start(&["a", "b"], limits.clone()).await;
    let mut agents = world.connect_all().await;
    let contract = world.start_job(&mut agents, 1).await;
    world.stop().await;
    let (b, events) = agents.pop().unwrap();
    b.close();
    events.closed().await;
    limits.book.rejoin_after_start = std::time::Duration::from_millis(500);
    world.run(limits, Arc::new(SystemClock)).await;
    let state = wait_state(&mut agents[0].1, contract.job_id, JobState::is_final).await;
    assert!(matches!(
        state,
        JobState::Failed {
            class: coordinator::job::FailureClass::PartyLost,
            ..
        }
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_itself_is_killed_while_a_job_runs() {
    let mut site = Site::new(&["a", "b"]);
    // A port that was free a moment ago.
    site.address = std::net::UdpSocket::bind(site.address)
        .unwrap()
        .local_addr()
        .unwrap();
    site.write_config();
    let log = site.dir.path().join("log");
    let start = || {
        let child = Command::new(env!("CARGO_BIN_EXE_entente-coordinator"))
            .arg("--config")
            .arg(site.dir.path().join("coordinator.toml"))
            .stderr(
                File::options()
                    .create(true)
                    .append(true)
                    .open(&log)
                    .unwrap(),
            )
            .spawn()
            .unwrap();
        Killable(child)
    };
    let first = start();
    let contract = contract(&[&site.parties[0], &site.parties[1]], 1);
    let (a, mut events) = site.connect(0);
    a.propose(Signed::sign(&contract, &site.parties[0]).unwrap())
        .await
        .unwrap();
    let (b, events_b) = site.connect(1);
    let b = tokio::spawn(agent(
        b,
        events_b,
        Arc::clone(&site.parties[1]),
        Arc::clone(&site.parties[0]),
    ));
    a.accept(Signed::sign(&acceptance(&contract, &site.parties[0]), &site.parties[0]).unwrap())
        .await
        .unwrap();
    wait_for(&mut events, |e| matches!(e, Event::Start(_))).await;
    first.kill();
    let second = start();
    a.report(
        contract.job_id,
        Outcome::Completed {
            receipt: "{\"note\":\"canary\"}".into(),
        },
    )
    .await
    .unwrap();
    wait_state(&mut events, contract.job_id, |state| {
        *state == JobState::Completed
    })
    .await;
    within("b is done", b).await.unwrap();
    second.kill();
    // The log names jobs and parties, and nothing that anybody wrote.
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(
        log.contains(&contract.job_id.to_string()) && log.contains("completed"),
        "{log}"
    );
    for text in [
        contract.purpose.as_str(),
        contract.job.as_str(),
        "canary",
        "IRB",
    ] {
        assert!(!log.contains(text), "{text}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_on_the_disk_is_refused_and_what_was_granted_is_kept() {
    let mut site = Site::new(&["a", "b"]);
    let (child, _lines) = site.spawn_on_a_full_disk();
    let (client, _events) = site.connect(0);
    let mut granted = Vec::new();
    let refused = within("the disk is full", async {
        for job in 1.. {
            let mut contract = contract(&[&site.parties[0], &site.parties[1]], job);
            contract.spec = "# 病\n".repeat(20_000);
            match client
                .propose(Signed::sign(&contract, &site.parties[0]).unwrap())
                .await
            {
                Ok(_) => granted.push(contract.job_id),
                Err(error) => return (contract.job_id, error),
            }
        }
        unreachable!("there are more jobs than half a mebibyte holds")
    })
    .await;
    assert_eq!(refused.1, ClientError::Refused(CallError::Storage));
    assert!(!granted.is_empty());
    // It still answers what needs no room, and is whole after a restart with more of it.
    assert_eq!(client.jobs().await.unwrap().len(), granted.len());
    child.kill();
    let (_child, _lines) = site.spawn(0);
    for job_id in granted {
        assert_eq!(
            client.job_status(job_id).await.unwrap().state,
            JobState::Proposed
        );
    }
    assert!(client.job_status(refused.0).await.is_err());
}

#[test]
fn the_program_says_what_is_wrong_with_its_configuration() {
    let site = Site::new(&["a"]);
    let path = site.dir.path().join("coordinator.toml");
    std::fs::write(&path, "listen = \"127.0.0.1:0\"\nstate_dri = \"state\"\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_entente-coordinator"))
        .arg("--config")
        .arg(&path)
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(
        stderr.contains("coordinator.toml:2:1: unknown field `state_dri`"),
        "{stderr}"
    );
}
