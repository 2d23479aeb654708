//! Intersections of keys between whole agents over QUIC: the same answer by every protocol, to receivers alone, and
//! against the figures that plain Python computed (`shared/data/expected`, in a directory above).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use party_agent::agent::Mode;
use party_agent::agent::milestones::Milestones;
use party_agent::config::{AgentConfig, Dataset};
use party_agent::receipt::ReceiptFile;
use party_agent::source::DatasetSpec;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::world::{Running, World};

const POLICY: &str = "min_cell = 1\nopen_counts = false\n[tables.visits.columns]\n\
                      id = { join_key = true, row_level = true }\nday = { join_key = true, row_level = true }\n";

/// What one party has after a job.
pub(crate) struct Side {
    pub(crate) result: Option<Value>,
    pub(crate) receipt: ReceiptFile,
}

/// A job over `[compute.intersect]`.
fn job(keys: &str, receivers: &[&str], more: &str) -> String {
    format!(
        "job = \"overlap\"\npurpose = \"IRB 7\"\nreceivers = {receivers:?}\n[compute.intersect]\nkeys = {keys}\n{more}\n"
    )
}

/// Agents of these parties, each with tables and, where one is given, a policy.
pub(crate) struct Agents {
    pub(crate) names: Vec<String>,
    pub(crate) agents: Vec<Running>,
    pub(crate) world: World,
    configs: Vec<AgentConfig>,
    /// Removed with the rest.
    files: Option<TempDir>,
}

impl Agents {
    pub(crate) async fn start(
        parties: &[(&str, Vec<(&str, PathBuf)>)],
        policy: Option<&str>,
    ) -> Self {
        let unwatched = &|_: &str| Milestones::default();
        Self::start_with(parties, policy, &|_| (), unwatched).await
    }

    /// The same with something in every configuration changed, and somebody who looks at every party's runs.
    pub(crate) async fn start_with(
        parties: &[(&str, Vec<(&str, PathBuf)>)],
        policy: Option<&str>,
        change: &dyn Fn(&mut AgentConfig),
        watched: &dyn Fn(&str) -> Milestones,
    ) -> Self {
        let names: Vec<&str> = parties.iter().map(|(name, _)| *name).collect();
        let world = World::new(&names).await;
        let (mut agents, mut configs) = (Vec::new(), Vec::new());
        for (name, tables) in parties {
            match policy {
                Some(policy) => world.write_policy(name, policy),
                None => {
                    std::fs::remove_file(world.home(name).join("policy.toml")).expect("removed")
                }
            }
            let mut config = world.config(name, true);
            let tables = tables.iter().map(|(table, path)| Dataset {
                name: (*table).to_owned(),
                consent: None,
                spec: match path.extension().is_some_and(|e| e == "csv") {
                    true => DatasetSpec::Csv(path.clone()),
                    false => DatasetSpec::Parquet(path.clone()),
                },
            });
            config.datasets = tables.collect();
            change(&mut config);
            configs.push(config.clone());
            let milestones = watched(name);
            agents.push(Running::start_watched(config, Mode::Rehearsal, milestones).await);
        }
        for agent in &agents {
            agent.sees(&names).await;
        }
        Self {
            names: names.into_iter().map(str::to_owned).collect(),
            agents,
            world,
            configs,
            files: None,
        }
    }

    /// Stops a party's agent and starts it again, with its tables as they are now.
    pub(crate) async fn restart(&mut self, party: usize) {
        self.agents.remove(party).stop().await;
        let agent = Running::start(self.configs[party].clone(), Mode::Rehearsal).await;
        self.agents.insert(party, agent);
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        for agent in &self.agents {
            agent.sees(&names).await;
        }
    }

    /// Two parties, a and b, with these rows in a table of ids and days.
    pub(crate) async fn of_two(a: &str, b: &str) -> Self {
        Self::of_two_with(a, b, &|_| ()).await
    }

    async fn of_two_with(a: &str, b: &str, change: &dyn Fn(&mut AgentConfig)) -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let parties = [("a", a), ("b", b)].map(|(name, rows)| {
            let path = files.path().join(format!("{name}.csv"));
            std::fs::write(&path, rows).expect("written");
            (name, vec![("visits", path)])
        });
        let unwatched = &|_: &str| Milestones::default();
        Self {
            files: Some(files),
            ..Self::start_with(&parties, Some(POLICY), change, unwatched).await
        }
    }

    /// Submits at the first party and waits for all that the job names.
    pub(crate) async fn run(&self, spec: &str) -> Vec<Side> {
        let job_id = self.agents[0].submit(spec).await;
        let mut sides = Vec::new();
        let named = |name: &str| {
            let places = [
                format!("\"{name}."),
                format!(" {name}."),
                format!("dealer:{name}"),
            ];
            places.iter().any(|place| spec.contains(place))
        };
        let agents = self.names.iter().zip(&self.agents);
        for (_, agent) in agents.filter(|(name, _)| named(name)) {
            let ended = agent.reaches(&job_id, &["completed", "failed"]).await;
            assert_eq!(ended["state"], "completed", "{ended}");
            let result = agent.result(&job_id).await;
            let receipt = agent.get(&format!("/v1/jobs/{job_id}/receipt")).await;
            sides.push(Side {
                result: (result.status == 200).then(|| result.json()),
                receipt: serde_json::from_slice(&receipt.body).expect("a receipt"),
            });
        }
        sides
    }

    pub(crate) async fn stop(self) {
        for agent in self.agents {
            agent.stop().await;
        }
        drop((self.world, self.files));
    }
}

fn rows(side: &Side) -> Vec<Value> {
    let result = side.result.as_ref().expect("a result");
    result["rows"].as_array().expect("rows").clone()
}

const A: &str = "id,day\nA-1,2026-01-01\nb2,2026-01-02\n,2026-01-03\nA-1,2026-01-01\nc3,2026-01-04\n \u{ff24}4 ,2026-01-05\n--,2026-01-06\n";
const B: &str = "id,day\na1,2026-01-01\nB2,2026-01-09\nd4,2026-01-05\nd4,2026-01-05\ne5,2026-01-06\n,2026-01-03\n";
const IDS: &str = r#"["a.visits.id", "b.visits.id"]"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_protocol_finds_the_same_and_tells_receivers_alone() {
    let world = Agents::of_two(A, B).await;
    for protocol in ["auto", "vole", "ecdh"] {
        let more =
            format!("reveal = \"rows\"\nnormalise = \"upper_alnum\"\nprotocol = \"{protocol}\"");
        let sides = world.run(&job(IDS, &["a"], &more)).await;
        // As they first stand in a's own table.
        let expected = [json!(["A-1"]), json!(["b2"]), json!([" \u{ff24}4 "])];
        assert_eq!(rows(&sides[0]), expected, "{protocol}");
        assert!(sides[1].result.is_none(), "{protocol}");
        let both = world.run(&job(IDS, &["b", "a"], &more)).await;
        assert_eq!(rows(&both[0]), expected, "{protocol}");
        assert_eq!(
            rows(&both[1]),
            [json!(["a1"]), json!(["B2"]), json!(["d4"])]
        );
        // What is odd about a table is told to its owner.
        let mine = sides[0].receipt.local.keys.clone().expect("a's keys");
        assert_eq!(
            (mine.rows, mine.distinct, mine.duplicates, mine.missing),
            (7, 4, 1, 2)
        );
        let theirs = sides[1].receipt.local.keys.clone().expect("b's keys");
        assert_eq!(
            (
                theirs.rows,
                theirs.distinct,
                theirs.duplicates,
                theirs.missing
            ),
            (6, 4, 1, 1)
        );
        for side in &sides {
            let receipt = serde_json::to_string(&side.receipt.signed).expect("JSON");
            assert!(!receipt.contains("duplicates"), "{receipt}");
        }
        let result = sides[0].result.as_ref().expect("a result").to_string();
        assert!(!result.contains("duplicate"), "{result}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_count_is_one_number_to_each_receiver() {
    let world = Agents::of_two(A, B).await;
    for (rule, expected) in [("upper_alnum", 3), ("none", 0), ("trim", 0), ("digits", 3)] {
        let more = format!("reveal = \"count\"\nnormalise = \"{rule}\"");
        let sides = world.run(&job(IDS, &["a", "b"], &more)).await;
        for side in &sides {
            assert_eq!(rows(side), [json!([expected])], "{rule}");
            assert_eq!(
                side.result.as_ref().expect("a result")["columns"],
                json!([{"name": "count", "type": "int"}])
            );
        }
    }
    let composite = r#"[["a.visits.id", "a.visits.day"], ["b.visits.id", "b.visits.day"]]"#;
    let more = "reveal = \"count\"\nnormalise = \"upper_alnum\"";
    let sides = world.run(&job(composite, &["b"], more)).await;
    assert_eq!(rows(&sides[1]), [json!([2])]);
    assert!(sides[0].result.is_none());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn left_right_and_difference_are_the_receivers_own_keys() {
    let world = Agents::of_two(A, B).await;
    let more =
        |join: &str| format!("reveal = \"rows\"\nnormalise = \"upper_alnum\"\njoin = \"{join}\"");
    let sides = world.run(&job(IDS, &["a"], &more("left"))).await;
    assert_eq!(
        rows(&sides[0]),
        [
            json!(["A-1", true]),
            json!(["b2", true]),
            json!(["c3", false]),
            json!([" \u{ff24}4 ", true])
        ]
    );
    let sides = world.run(&job(IDS, &["a"], &more("difference"))).await;
    assert_eq!(rows(&sides[0]), [json!(["c3"])]);
    let sides = world.run(&job(IDS, &["b"], &more("right"))).await;
    assert_eq!(rows(&sides[1])[3], json!(["e5", false]));
    let sides = world.run(&job(IDS, &["a", "b"], &more("full"))).await;
    assert_eq!(rows(&sides[0])[2], json!(["c3", false]));
    assert_eq!(
        rows(&sides[1]),
        [
            json!(["a1", true]),
            json!(["B2", true]),
            json!(["d4", true]),
            json!(["e5", false])
        ]
    );
    world.stop().await;
}

/// One holder asks for its keys in the other's table, which goes out once; the next job costs what its keys cost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prepared_table_is_compared_again_and_again() {
    let mut world = Agents::of_two(A, B).await;
    let more = |join: &str| {
        format!(
            "reveal = \"rows\"\nnormalise = \"upper_alnum\"\njoin = \"{join}\"\nprotocol = \"oprf\""
        )
    };
    let sent = |sides: &[Side], of: usize| {
        let bytes = sides[of].receipt.signed.receipt.bytes_sent.values();
        bytes.sum::<u64>()
    };
    // Four different keys at each: 32 bytes a key each way, and 50 for a record of the table.
    let (questions, answers) = (32 + 8 + 4 * 32, 53 + 4 * 32 + 64);
    for (run, table) in [(0, 4 * 50), (1, 0), (2, 0)] {
        if run == 2 {
            world.restart(1).await;
        }
        let sides = world.run(&job(IDS, &["a"], &more("inner"))).await;
        let expected = [json!(["A-1"]), json!(["b2"]), json!([" \u{ff24}4 "])];
        assert_eq!(rows(&sides[0]), expected);
        assert!(sides[1].result.is_none());
        assert_eq!(
            (sent(&sides, 0), sent(&sides, 1)),
            (questions, answers + table)
        );
        let theirs = sides[1].receipt.local.keys.clone().expect("b's keys");
        assert_eq!((theirs.rows, theirs.distinct), (6, 4));
        assert_eq!((theirs.duplicates, theirs.missing), (1, 1));
    }
    let sides = world.run(&job(IDS, &["a"], &more("difference"))).await;
    assert_eq!(rows(&sides[0]), [json!(["c3"])]);
    // The other way round it is the other table.
    let sides = world.run(&job(IDS, &["b"], &more("right"))).await;
    assert_eq!(rows(&sides[1])[3], json!(["e5", false]));
    assert_eq!(sent(&sides, 0), answers + 4 * 50);
    world.stop().await;
}

/// Empty tables, tables without a key, and tables of one row are ordinary.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_and_empty_tables() {
    for (a, b, expected) in [
        ("id,day\n", "id,day\n", 0),
        ("id,day\nx,2026-01-01\n", "id,day\n", 0),
        (
            "id,day\n,2026-01-01\n,2026-01-02\n",
            "id,day\nx,2026-01-01\n",
            0,
        ),
        ("id,day\nx,2026-01-01\n", "id,day\nx,2026-01-01\n", 1),
        (
            "id,day\n7,2026-01-01\n",
            "id,day\n007,2026-01-01\n7,2026-01-01\n",
            1,
        ),
    ] {
        let world = Agents::of_two(a, b).await;
        let sides = world
            .run(&job(IDS, &["a", "b"], "reveal = \"count\""))
            .await;
        assert_eq!(rows(&sides[0]), [json!([expected])], "{a:?} and {b:?}");
        for protocol in ["vole", "ecdh", "oprf"] {
            let more = format!("reveal = \"rows\"\nprotocol = \"{protocol}\"");
            let sides = world.run(&job(IDS, &["b"], &more)).await;
            assert_eq!(
                rows(&sides[1]).len(),
                expected,
                "{a:?} and {b:?} by {protocol}"
            );
        }
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_count_below_the_minimum_is_not_shown() {
    let world = Agents::of_two(A, B).await;
    let more = "reveal = \"count\"\nnormalise = \"upper_alnum\"\n[privacy]\nmin_cell = 4";
    let sides = world.run(&job(IDS, &["a"], more)).await;
    let result = sides[0].result.as_ref().expect("a result");
    assert_eq!(result["rows"], json!([]));
    assert_eq!(result["suppressed"][0]["rule"], "count >= 4");
    assert_eq!(result["n_used"], 0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_without_row_level_output_ends_the_job() {
    let world = World::new(&["a", "b"]).await;
    for party in ["a", "b"] {
        world.write_visits(party, "id\nx\n");
        world.write_policy(
            party,
            "min_cell = 1\nopen_counts = false\n[tables.visits.columns]\nid = { join_key = true }\n",
        );
    }
    let a = world.agent("a", Mode::Rehearsal, true).await;
    let b = world.agent("b", Mode::Rehearsal, true).await;
    for agent in [&a, &b] {
        agent.sees(&["a", "b"]).await;
    }
    let job_id = a.submit(&job(IDS, &["a"], "reveal = \"rows\"")).await;
    let ended = a.reaches(&job_id, &["rejected"]).await;
    assert_eq!(ended["ending"]["exit"], 3, "{ended}");
    assert_eq!(ended["ending"]["culprit"], "b");
    assert!(
        ended
            .to_string()
            .contains("tables.visits.columns.id.row_level"),
        "{ended}"
    );
    assert!(ended.to_string().contains("allowed: join_key"), "{ended}");
    assert!(a.result_files().is_empty() && b.result_files().is_empty());
    a.stop().await;
    b.stop().await;
}

/// The published bound is what peers prepare for; a table that has outgrown it is its owner's to publish again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_has_outgrown_its_bound_stops_the_job() {
    let world = World::new(&["a", "b"]).await;
    for party in ["a", "b"] {
        world.write_visits(party, "id\nx\ny\n");
        world.write_policy(
            party,
            POLICY.split("day =").next().expect("the column of ids"),
        );
    }
    let a = world.agent("a", Mode::Rehearsal, true).await;
    let b = world.agent("b", Mode::Rehearsal, true).await;
    for agent in [&a, &b] {
        agent.sees(&["a", "b"]).await;
    }
    let many: String = (0..1100).map(|i| format!("x{i}\n")).collect();
    world.write_visits("b", &format!("id\n{many}"));
    let job_id = a.submit(&job(IDS, &["a"], "reveal = \"count\"")).await;
    let ended = b.reaches(&job_id, &["failed"]).await;
    assert_eq!(ended["ending"]["class"], "source", "{ended}");
    let at_a = a.reaches(&job_id, &["failed"]).await;
    assert_eq!(at_a["ending"]["culprit"], "b", "{at_a}");
    assert!(a.result_files().is_empty());
    a.stop().await;
    b.stop().await;
}

/// The shared data beside the repository, if they are there.
pub(crate) fn shared(name: &str) -> Option<PathBuf> {
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let found = above.find_map(|d| Some(d.join("shared/data").join(name)).filter(|p| p.exists()));
    if found.is_none() {
        println!("skipped: no shared data");
    }
    found
}

pub(crate) fn expected(set: &str) -> Option<Value> {
    let text = std::fs::read_to_string(shared(&format!("expected/{set}.json"))?).expect("readable");
    let document: Value = serde_json::from_str(&text).expect("JSON");
    Some(document["tasks"].clone())
}

/// The number of keys that all of these parties have.
async fn count_of_all(world: &Agents, parties: &[&str], key: &str) -> u64 {
    let keys: Vec<String> = parties
        .iter()
        .map(|party| format!("{party}.t.{key}"))
        .collect();
    let more = "reveal = \"count\"\n[privacy]\ncorrelations = \"ot\"";
    let spec = job(&format!("{keys:?}"), &parties[..1], more);
    let at = world
        .names
        .iter()
        .position(|name| name == parties[0])
        .expect("a party");
    let job_id = world.agents[at].submit(&spec).await;
    world.agents[at].reaches(&job_id, &["completed"]).await;
    let result = world.agents[at].result(&job_id).await.json();
    result["rows"][0][0].as_u64().expect("a number")
}

async fn joint(set: &str, files: &[(&str, &str)]) -> Option<Agents> {
    let data = shared(set)?;
    let tables = files
        .iter()
        .map(|(party, file)| (*party, vec![("t", data.join(file))]));
    Some(Agents::start(&tables.collect::<Vec<_>>(), None).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_and_four_holders_have_the_expected_keys_in_common() {
    for (set, key, files, figure_at) in [
        (
            "credit_taiwan",
            "id_no",
            [
                ("bank_a", "bank_a.csv"),
                ("bank_b", "bank_b.csv"),
                ("bureau_c", "bureau_c.csv"),
            ],
            "a_b_c",
        ),
        (
            "claims_euhealth",
            "member_id",
            [
                ("hospital_a", "hospital_a.parquet"),
                ("clinic_b", "clinic_b.parquet"),
                ("insurer_c", "insurer_c.parquet"),
            ],
            "a_and_b_and_c",
        ),
        (
            "surv_nafld",
            "patient_id",
            [
                ("clinic", "clinic_person.parquet"),
                ("lab", "lab_measurement.parquet"),
                ("registry", "registry_event.parquet"),
            ],
            "all_three",
        ),
        (
            "surv_rotterdam",
            "patient_id",
            [
                ("hospital", "hospital.csv"),
                ("lab", "lab.csv"),
                ("registry", "registry.csv"),
            ],
            "all_three",
        ),
    ] {
        let (Some(tasks), Some(world)) = (expected(set), joint(set, &files).await) else {
            return;
        };
        let names = files.map(|(party, _)| party);
        let found = count_of_all(&world, &names, key).await;
        assert_eq!(
            found,
            figure(&tasks, &format!("/psi_cardinality/{figure_at}")),
            "{set}"
        );
        world.stop().await;
    }
    let files = [
        ("h1", "hospital_1.parquet"),
        ("h2", "hospital_2.parquet"),
        ("h3", "hospital_3.parquet"),
        ("public", "insurer_public.parquet"),
    ];
    let (Some(tasks), Some(world)) = (
        expected("claims_diabetes130"),
        joint("claims_diabetes130", &files).await,
    ) else {
        return;
    };
    let psi = |name: &str| figure(&tasks, &format!("/psi_cardinality/{name}"));
    let of = async |parties: &[&str]| count_of_all(&world, parties, "patient_id").await;
    assert_eq!(of(&["h1", "h2", "h3"]).await, psi("all_three_hospitals"));
    // The union of the hospitals with the insurer, by inclusion and exclusion.
    let singles: u64 = (1..4)
        .map(|k| psi(&format!("hospital_{k}_and_insurer_public")))
        .sum();
    let pairs = of(&["h1", "h2", "public"]).await
        + of(&["h1", "h3", "public"]).await
        + of(&["h2", "h3", "public"]).await;
    let union = singles - pairs + of(&["h1", "h2", "h3", "public"]).await;
    assert_eq!(union, psi("union_hospitals_and_insurer_public"));
    world.stop().await;
}

/// Both tables are larger than an agent may keep in memory: keys and tags go through files, in many runs, and nothing is left of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_beyond_memory_go_through_files() {
    let table = |from: u32, to: u32| {
        let mut text = "id,day\n".to_owned();
        for i in from..to {
            // Every fifth id stands there twice, every seventh row has none.
            let id = match i % 7 {
                3 => String::new(),
                _ => format!("x{}", i - u32::from(i % 5 == 1)),
            };
            text += &format!("{id},{i}\n");
        }
        text
    };
    let id = |i: u32| (i % 7 != 3).then_some(i - u32::from(i % 5 == 1));
    let ids = |from, to| (from..to).filter_map(id).collect::<BTreeSet<u32>>();
    let common = ids(0, 3000).intersection(&ids(1500, 4800)).count();
    let little = |config: &mut AgentConfig| config.keys_in_memory = 512;
    let world = Agents::of_two_with(&table(0, 3000), &table(1500, 4800), &little).await;
    let more = "reveal = \"count\"\nprotocol = \"ecdh\"";
    let sides = world.run(&job(IDS, &["a", "b"], more)).await;
    for (side, (from, to)) in sides.iter().zip([(0, 3000), (1500, 4800)]) {
        assert_eq!(rows(side), [json!([common])]);
        let keys = side.receipt.local.keys.clone().expect("keys");
        let distinct = ids(from, to).len() as u64;
        let missing = (from..to).filter(|i| i % 7 == 3).count() as u64;
        let n_rows = u64::from(to - from);
        assert_eq!(
            (keys.rows, keys.distinct, keys.missing),
            (n_rows, distinct, missing)
        );
        assert_eq!(keys.duplicates, n_rows - missing - distinct);
    }
    // A receiver keeps its keys in memory, because it is to show them.
    let more = "reveal = \"rows\"\nprotocol = \"ecdh\"";
    let sides = world.run(&job(IDS, &["a"], more)).await;
    assert_eq!(rows(&sides[0]).len(), common);
    for agent in &world.agents {
        let entries = std::fs::read_dir(agent.state_dir().join("results")).expect("results");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let hidden = names.filter(|name| name.to_string_lossy().starts_with('.'));
        assert_eq!(hidden.count(), 0, "files have no names");
    }
    world.stop().await;
}

/// Three small tables, and a party that deals.
async fn three() -> (TempDir, Agents) {
    let files = tempfile::tempdir().expect("a directory");
    let tables = [
        ("a", "id,paid\nx1,1.50\nx2,2.25\nx2,0.25\nx3,\nx4,-9.00\n"),
        ("b", "id,n\nX1,7\nx2,-3\nx3,1\nx9,1\n"),
        ("c", "id\nx1\nx-2\nx3\nx5\n"),
    ];
    let mut parties: Vec<(&str, Vec<(&str, PathBuf)>)> = tables
        .iter()
        .map(|(party, csv)| {
            let path = files.path().join(format!("{party}.csv"));
            std::fs::write(&path, csv).expect("written");
            (*party, vec![("t", path)])
        })
        .collect();
    parties.push(("d", Vec::new()));
    let agents = Agents::start(&parties, None).await;
    (files, agents)
}

const IDS_OF_THREE: &str = r#"["a.t.id", "b.t.id", "c.t.id"]"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_holders_count_add_up_and_tell_rows() {
    let (_files, world) = three().await;
    let run = async |receivers: &[&str], more: &str| {
        let spec = job(
            IDS_OF_THREE,
            receivers,
            &format!("normalise = \"upper_alnum\"\n{more}"),
        );
        world.run(&spec).await
    };
    let sides = run(&["a", "c"], "reveal = \"rows\"").await;
    assert_eq!(
        rows(&sides[0]),
        [json!(["x1"]), json!(["x2"]), json!(["x3"])]
    );
    assert!(sides[1].result.is_none());
    assert_eq!(
        rows(&sides[2]),
        [json!(["x1"]), json!(["x-2"]), json!(["x3"])]
    );
    for source in ["ot", "dealer:d"] {
        let privacy = format!("[privacy]\ncorrelations = \"{source}\"\nmin_cell");
        let job_of =
            |reveal: &str, least: u64| format!("reveal = \"{reveal}\"\n{privacy} = {least}");
        let sides = run(&["b"], &job_of("count", 3)).await;
        assert_eq!(rows(&sides[1]), [json!([3])], "{source}");
        assert!(sides[0].result.is_none());
        let sides = run(&["b"], &job_of("count", 4)).await;
        let result = sides[1].result.as_ref().expect("a result");
        assert_eq!(
            (&result["rows"], &result["suppressed"][0]["rule"]),
            (&json!([]), &json!("count >= 4"))
        );
        let sides = run(&["a", "b"], &job_of("sum:a.t.paid", 2)).await;
        for side in &sides[..2] {
            let text = side.result.as_ref().expect("a result")["rows"].to_string();
            assert_eq!(text, "[[3,4.0]]", "{source}");
        }
        let sides = run(&["c"], &job_of("sum:b.t.n", 0)).await;
        assert_eq!(rows(&sides[2]), [json!([3, 5])], "{source}");
    }
    let two = job(
        r#"["a.t.id", "b.t.id"]"#,
        &["a"],
        "reveal = \"count\"\nprotocol = \"vole\"\n[privacy]\ncorrelations = \"ot\"",
    );
    let job_id = world.agents[0].submit(&two).await;
    world.agents[0].reaches(&job_id, &["completed"]).await;
    assert_eq!(
        world.agents[0].result(&job_id).await.json()["rows"],
        json!([[2]])
    );
    world.stop().await;
}

/// Runs one count for each pair of parties and compares it with the expected figure.
async fn counts(set: &str, parties: &[(&str, &str)], key: &str, pairs: &[(&str, &str, &str, u64)]) {
    let Some(data) = shared(set) else { return };
    let tables = parties
        .iter()
        .map(|(party, file)| (*party, vec![("t", data.join(file))]));
    let world = Agents::start(&tables.collect::<Vec<_>>(), None).await;
    for (a, b, rule, expected) in pairs {
        let keys = format!("[\"{a}.t.{key}\", \"{b}.t.{key}\"]");
        let spec = job(
            &keys,
            &[a],
            &format!("reveal = \"count\"\nnormalise = \"{rule}\""),
        );
        let at = world
            .names
            .iter()
            .position(|name| name == a)
            .expect("a party");
        let job_id = world.agents[at].submit(&spec).await;
        world.agents[at].reaches(&job_id, &["completed"]).await;
        let result = world.agents[at].result(&job_id).await.json();
        assert_eq!(result["rows"], json!([[expected]]), "{a} and {b}");
    }
    world.stop().await;
}

fn figure(tasks: &Value, path: &str) -> u64 {
    tasks.pointer(path).and_then(Value::as_u64).expect(path)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hospitals_and_insurers_have_the_expected_members_in_common() {
    let Some(tasks) = expected("claims_diabetes130") else {
        return;
    };
    let psi = |name: &str| figure(&tasks, &format!("/psi_cardinality/{name}"));
    let names = ["hospital_1", "hospital_2", "hospital_3"];
    let mut pairs = vec![
        ("hospital_1", "hospital_2", "none", psi("hospital_1_and_2")),
        ("hospital_1", "hospital_3", "none", psi("hospital_1_and_3")),
        ("hospital_2", "hospital_3", "none", psi("hospital_2_and_3")),
        (
            "hospital_1",
            "dirty",
            "none",
            figure(&tasks, "/psi_dirty_ids/raw_intersection_hospital_1"),
        ),
        (
            "hospital_1",
            "dirty",
            "upper_alnum",
            figure(&tasks, "/psi_dirty_ids/normalised_intersection_hospital_1"),
        ),
    ];
    for hospital in names {
        for insurer in ["insurer_public", "insurer_private"] {
            pairs.push((
                hospital,
                insurer,
                "none",
                psi(&format!("{hospital}_and_{insurer}")),
            ));
        }
    }
    let files = [
        "hospital_1",
        "hospital_2",
        "hospital_3",
        "insurer_public",
        "insurer_private",
        "insurer_public_dirty",
    ];
    let files = files.map(|name| format!("{name}.parquet"));
    let parties = [
        "hospital_1",
        "hospital_2",
        "hospital_3",
        "insurer_public",
        "insurer_private",
        "dirty",
    ];
    let parties: Vec<(&str, &str)> = parties
        .into_iter()
        .zip(files.iter().map(String::as_str))
        .collect();
    counts("claims_diabetes130", &parties, "patient_id", &pairs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn banks_have_the_expected_customers_in_common() {
    let Some(tasks) = expected("credit_taiwan") else {
        return;
    };
    let psi = |name: &str| figure(&tasks, &format!("/psi_cardinality/{name}"));
    let parties = [
        ("bank_a", "bank_a.csv"),
        ("bank_b", "bank_b.csv"),
        ("bureau_c", "bureau_c.csv"),
        ("dirty", "bank_b_dirty.csv"),
    ];
    let pairs = [
        ("bank_a", "bank_b", "none", psi("a_and_b")),
        ("bank_a", "bureau_c", "none", psi("a_and_c")),
        ("bank_a", "dirty", "none", psi("dirty_raw")),
        ("bank_a", "dirty", "upper_alnum", psi("dirty_normalised")),
    ];
    counts("credit_taiwan", &parties, "id_no", &pairs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_survival_data_have_the_expected_persons_in_common() {
    let Some(tasks) = expected("claims_euhealth") else {
        return;
    };
    let psi = |tasks: &Value, name: &str| figure(tasks, &format!("/psi_cardinality/{name}"));
    let parties = [
        ("hospital_a", "hospital_a.parquet"),
        ("clinic_b", "clinic_b.parquet"),
        ("insurer_c", "insurer_c.parquet"),
    ];
    let pairs = [
        ("hospital_a", "insurer_c", "none", psi(&tasks, "a_and_c")),
        ("clinic_b", "insurer_c", "none", psi(&tasks, "b_and_c")),
    ];
    counts("claims_euhealth", &parties, "member_id", &pairs).await;
    let Some(tasks) = expected("surv_nafld") else {
        return;
    };
    let parties = [
        ("clinic", "clinic_person.parquet"),
        ("lab", "lab_measurement.parquet"),
    ];
    let pairs = [("clinic", "lab", "none", psi(&tasks, "clinic_and_lab"))];
    counts("surv_nafld", &parties, "patient_id", &pairs).await;
    let Some(tasks) = expected("surv_rotterdam") else {
        return;
    };
    let parties = [("hospital", "hospital.csv"), ("registry", "registry.csv")];
    let pairs = [(
        "hospital",
        "registry",
        "none",
        psi(&tasks, "hospital_and_registry"),
    )];
    counts("surv_rotterdam", &parties, "patient_id", &pairs).await;
}
