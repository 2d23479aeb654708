//! Rows of persons who withdrew their consent are left out of the next run, and the plan says so.

use std::path::Path;

use party_agent::agent::Mode;
use party_agent::config::{AgentConfig, Dataset};
use party_agent::source::{Consent, DatasetSpec, Source};

use crate::world::{Running, World};

const POLICY: &str =
    "min_cell = 1\nopen_counts = false\n[tables.people.columns]\nid = { join_key = true }\n";
const JOB: &str = "job = \"overlap\"\npurpose = \"IRB 7\"\nreceivers = [\"a\"]\n[compute.intersect]\n\
                   keys = [\"a.people.id\", \"b.people.id\"]\nreveal = \"count\"\n";

/// Ids 1 to n, who consent unless something else is said.
fn people(n: usize, consents: Option<&[(usize, &str)]>) -> String {
    let mut csv = String::from("id,consent\n");
    for id in 1..=n {
        let said = consents.and_then(|c| c.iter().find(|(who, _)| *who == id));
        csv.push_str(&format!("p{id},{}\n", said.map_or("yes", |(_, said)| said)));
    }
    // Somebody who said nothing, and a row of nobody.
    csv.push_str(&format!("p{},\n,yes\n", n + 1));
    csv
}

struct Scene {
    world: World,
    a: Running,
    b: Running,
    config: AgentConfig,
}

fn config(world: &World, party: &str, consent: Option<Consent>) -> AgentConfig {
    let path = world.home(party).join("people.csv");
    let mut config: AgentConfig = world.config(party, true);
    config.datasets = vec![Dataset {
        name: "people".to_owned(),
        spec: DatasetSpec::Csv(path),
        consent,
    }];
    config
}

async fn scene(consent: impl Fn(&Path) -> Consent) -> Scene {
    let world = World::new(&["a", "b"]).await;
    for party in ["a", "b"] {
        std::fs::write(world.home(party).join("people.csv"), people(30, None)).expect("written");
        world.write_policy(party, POLICY);
    }
    let asked = consent(&world.home("b"));
    let config_of_b = config(&world, "b", Some(asked));
    let a = Running::start(config(&world, "a", None), Mode::Rehearsal).await;
    let b = Running::start(config_of_b.clone(), Mode::Rehearsal).await;
    a.sees(&["a", "b"]).await;
    b.sees(&["a", "b"]).await;
    Scene {
        world,
        a,
        b,
        config: config_of_b,
    }
}

impl Scene {
    /// How many persons both have, and what the result says besides.
    async fn common(&self) -> (u64, String) {
        let job_id = self.a.submit(JOB).await;
        self.a.reaches(&job_id, &["completed"]).await;
        self.b.reaches(&job_id, &["completed"]).await;
        let result = self.a.result(&job_id).await.json();
        let plan = self.b.get(&format!("/v1/jobs/{job_id}/plan")).await.json();
        let n = result["rows"][0][0].as_u64().expect("a count");
        (n, plan["plan"]["notes"].to_string())
    }

    /// Changes a file of b. Until b has opened it again, nothing is computed from it, so that no withdrawal is missed.
    async fn rewrite(self, file: &str, text: &str) -> Self {
        std::fs::write(self.world.home("b").join(file), text).expect("written");
        self.refuses().await;
        self.b.stop().await;
        let b = Running::start(self.config.clone(), Mode::Rehearsal).await;
        self.a.sees(&["a", "b"]).await;
        b.sees(&["a", "b"]).await;
        Self { b, ..self }
    }

    async fn refuses(&self) {
        let job_id = self.a.submit(JOB).await;
        let at_b = self.b.reaches(&job_id, &["failed"]).await;
        assert_eq!(at_b["ending"]["class"], "source", "{at_b}");
        self.a.reaches(&job_id, &["failed"]).await;
    }

    async fn stop(self) {
        self.a.stop().await;
        self.b.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawal_in_a_column_changes_the_count_by_exactly_one() {
    let given = Consent::Given {
        column: "consent".to_owned(),
        value: "yes".to_owned(),
    };
    let mut scene = scene(|_| given.clone()).await;
    let (before, notes) = scene.common().await;
    assert_eq!(before, 30);
    assert!(
        notes.contains("of b.people, only rows whose consent is \\\"yes\\\" are used"),
        "{notes}"
    );
    // Whatever is not the value is no consent: another word, another spelling, nothing at all.
    for (n, word) in [(1, "no"), (2, "Yes"), (3, "")] {
        let said = [(7, "no"), (8, "Yes"), (9, "")];
        assert_eq!(said[n - 1].1, word);
        scene = scene
            .rewrite("people.csv", &people(30, Some(&said[..n])))
            .await;
        assert_eq!(scene.common().await.0, before - n as u64, "{word:?}");
    }
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawal_in_a_list_changes_the_count_by_exactly_one() {
    let mut scene = scene(|home| {
        std::fs::write(home.join("withdrawn.csv"), "id\np3\n").expect("written");
        Consent::Withdrawn {
            list: home.join("withdrawn.csv"),
            column: "id".to_owned(),
        }
    })
    .await;
    let (before, notes) = scene.common().await;
    assert_eq!(before, 30);
    assert!(
        notes.contains("have withdrawn their consent (by id)"),
        "{notes}"
    );
    // Somebody else's id and a second entry change nothing.
    scene = scene.rewrite("withdrawn.csv", "id\np3\np999\np3\n").await;
    assert_eq!(scene.common().await.0, 30);
    scene = scene.rewrite("withdrawn.csv", "id\np3\np11\n").await;
    assert_eq!(scene.common().await.0, 29);
    // A row of nobody is not known to be of somebody who consents.
    scene = scene
        .rewrite("people.csv", &people(30, None).replace("p12,", ","))
        .await;
    assert_eq!(scene.common().await.0, 28);
    // Without the list nothing is known of anybody.
    std::fs::remove_file(scene.world.home("b").join("withdrawn.csv")).expect("removed");
    scene.refuses().await;
    scene.stop().await;
}

#[tokio::test]
async fn consents_that_cannot_be_looked_up_make_no_table() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("people.csv"), "id,consent\n1,yes\n2,no\n").expect("written");
    std::fs::write(path("texts.csv"), "id\nx1\n").expect("written");
    std::fs::write(path("other.csv"), "person\n1\n").expect("written");
    std::fs::write(path("nobody.csv"), "id\n").expect("written");
    let withdrawn = |list: &str| Consent::Withdrawn {
        list: path(list),
        column: "id".to_owned(),
    };
    let given = |column: &str| Consent::Given {
        column: column.to_owned(),
        value: "yes".to_owned(),
    };
    for (consent, opens) in [
        (given("consent"), true),
        (given("Consent"), false),
        (withdrawn("nobody.csv"), true),
        // Numbers here and texts there: whom they mean cannot be compared.
        (withdrawn("texts.csv"), false),
        (withdrawn("other.csv"), false),
        (withdrawn("absent.csv"), false),
    ] {
        let mut source = Source::empty();
        let spec = DatasetSpec::Csv(path("people.csv"));
        source.add("people", &spec).await.expect("opened");
        let asked = source.ask_consent("people", &consent).await;
        assert_eq!(asked.is_ok(), opens, "{consent:?}: {asked:?}");
    }
}

#[test]
fn a_configuration_asks_for_one_kind_of_consent() {
    let config = |consent: &str| {
        let text = format!(
            "[[dataset]]\nname = \"people\"\nkind = \"csv\"\npath = \"people.csv\"\nconsent = {consent}\n"
        );
        party_agent::config::parse_datasets(&text, Path::new("/base"))
    };
    let read = config("{ column = \"consent\", value = \"yes\" }").expect("read");
    let written = party_agent::config::write_datasets(&read);
    let again = party_agent::config::parse_datasets(&written, Path::new("/base"));
    assert_eq!(again.expect("read"), read);
    config("{ withdrawn = \"w.csv\", column = \"id\" }").expect("read");
    for faulty in [
        "{ column = \"consent\" }",
        "{ value = \"yes\" }",
        "{ withdrawn = \"w.csv\" }",
        "{ column = \"c\", value = \"yes\", withdrawn = \"w.csv\" }",
        "{ column = \"c\", value = \"yes\", unless = \"asked\" }",
        "\"yes\"",
    ] {
        config(faulty).expect_err(faulty);
    }
}
