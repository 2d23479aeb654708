//! Trackers (Denning, Denning and Schwartz, ACM TODS 4(1), 1979): pairs and combinations of allowed figures from which one person's
//! follows. Real agents run the attacker's jobs one after the other; what could be worked out from two is refused by the holder.

mod equations;

use party_agent::agent::Mode;
use party_agent::catalogue::Cohorts;
use serde_json::Value;

use crate::world::{Running, World};

/// Of every other person there are many of the same age; the victim is the only one of 97.
const VICTIM: u64 = 97;

fn policy() -> String {
    "min_cell = 5\nopen_counts = false\n[tables.visits.cohorts]\nperson = \"person\"\nrow = \"visit\"\n[tables.visits.columns]\n\
     person = {}\nvisit = {}\nage = { filter = true, range = [0, 120] }\n\
     kind = { group_by = true, filter = true, categories = [\"x\", \"y\"] }\nstay = { aggregate = [\"count\", \"sum\", \"avg\"], range = [0, 1000] }\n"
        .to_owned()
}

/// Forty persons with two visits each, ages 20 to 59, of both kinds; the first holder has the victim besides.
fn visits(holder: u64) -> String {
    let mut text = String::from("person,visit,age,kind,stay\n");
    for person in 0..40 {
        for visit in 0..2 {
            let kind = ["x", "y"][visit as usize];
            let (age, stay) = (20 + person / 10 * 10, 1 + (7 * person + visit) % 30);
            text.push_str(&format!(
                "h{holder}p{person},h{holder}v{person}-{visit},{age},{kind},{stay}\n"
            ));
        }
    }
    if holder == 0 {
        text.push_str(&format!("victim,h0v-victim,{VICTIM},x,777\n"));
    }
    text
}

fn job(select: &str, condition: &str, rest: &str) -> String {
    format!(
        "job = \"stays\"\npurpose = \"IRB 7: stays\"\nreceivers = [\"b\"]\n[compute]\nsql = \"\"\"\nSELECT {select} FROM \
         (SELECT * FROM a.visits UNION ALL SELECT * FROM b.visits) v WHERE {condition} {rest}\n\"\"\"\n\
         [privacy]\ncorrelations = \"ot\"\nmin_cell = 5\n"
    )
}

struct Attack {
    a: Running,
    b: Running,
    _world: World,
}

impl Attack {
    async fn begin() -> Self {
        let world = World::new(&["a", "b"]).await;
        for (holder, party) in ["a", "b"].into_iter().enumerate() {
            world.write_visits(party, &visits(holder as u64));
            world.write_policy(party, &policy());
        }
        let a = world.agent("a", Mode::Rehearsal, true).await;
        let b = world.agent("b", Mode::Rehearsal, true).await;
        b.sees(&["a", "b"]).await;
        Self {
            a,
            b,
            _world: world,
        }
    }

    /// The rows of a result, or why there is none.
    async fn ask(&self, select: &str, condition: &str, rest: &str) -> Result<Value, Value> {
        let job_id = self.b.submit(&job(select, condition, rest)).await;
        let ended = self.b.reaches(&job_id, &["completed", "failed"]).await;
        match ended["state"].as_str() {
            Some("completed") => Ok(self.b.result(&job_id).await.json()["rows"].take()),
            _ => Err(ended["ending"].clone()),
        }
    }

    /// The total of stays under a condition.
    async fn total(&self, condition: &str) -> Result<Value, Value> {
        self.ask("COUNT(*) AS n, SUM(stay) AS days", condition, "")
            .await
    }

    async fn refused(&self, condition: &str) {
        let told = self.total(condition).await.expect_err(condition);
        // The holder whose person it is says so, and not why.
        let refused = (&told["class"], &told["culprit"]);
        assert_eq!(
            refused,
            (&"policy".into(), &"a".into()),
            "{condition}: {told}"
        );
    }

    async fn end(self) {
        self.a.stop().await;
        self.b.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_individual_tracker_is_refused() {
    let attack = Attack::begin().await;
    attack.total("TRUE").await.expect("everybody");
    // All but the victim: what is left is 777.
    attack.refused("age <> 97").await;
    attack.refused("age < 60").await;
    // Ten persons of each holder fewer are enough, and the same again is nothing new.
    attack
        .total("age < 50 OR age = 97")
        .await
        .expect("ten persons are missing at each");
    attack
        .total("TRUE")
        .await
        .expect("the same persons as before");
    attack.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_general_tracker_is_refused() {
    let attack = Attack::begin().await;
    // q(C) = q(C ∪ T) + q(C ∪ ¬T) − q(T) − q(¬T), with T: under 40. The victim is in ¬T.
    attack.total("age < 40").await.expect("T");
    attack.total("age >= 40").await.expect("not T");
    attack
        .total("age = 97 OR age >= 40")
        .await
        .expect("the same persons as not T");
    attack.refused("age = 97 OR age < 40").await;
    // By groups of another job, and by its total, as well.
    let told = attack
        .ask(
            "kind, SUM(stay) AS days",
            "age < 40 OR age = 97",
            "GROUP BY kind",
        )
        .await;
    assert_eq!(
        told.expect_err("a group of an earlier cohort")["class"],
        "policy"
    );
    attack.end().await;
}

/// No two of these cohorts are close, and the three together tell the victim's figure.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_from_three_figures_together_is_refused() {
    let attack = Attack::begin().await;
    attack.total("age < 40").await.expect("A");
    attack.total("age >= 40 AND age < 60").await.expect("B");
    attack.refused("TRUE").await;
    attack.end().await;
}

/// Rows of the same person count once, and a row that is there twice is not taken for two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_whose_rows_are_not_told_apart_are_refused() {
    let attack = Attack::begin().await;
    let twice = job("SUM(stay) AS days", "TRUE", "").replace(
        "SELECT * FROM a.visits",
        "SELECT * FROM a.visits UNION ALL SELECT * FROM a.visits",
    );
    let job_id = attack.b.submit(&twice).await;
    let ended = attack.b.reaches(&job_id, &["failed"]).await;
    assert!(ended["ending"]["what"].as_str().is_some(), "{ended}");
    attack
        .total("TRUE")
        .await
        .expect("what was not released is not remembered");
    attack.end().await;
}

/// What a holder could not keep account of is refused by the plan, and by its policy where the catalogue does not say so.
#[test]
fn figures_without_account_of_who_is_counted_are_refused() {
    use crate::sdc::{catalogues, compiled};
    let names = ["a", "b"];
    let kept = Cohorts {
        person: "person".to_owned(),
        row: "person".to_owned(),
    };
    let mut all = catalogues(&names, &[None, None]);
    let plain = crate::sdc::job(&names, "kind, SUM(paid) AS paid", "GROUP BY kind");
    let own = policy()
        .replace("stay =", "paid =")
        .replace("row = \"visit\"", "row = \"person\"")
        .replace("min_cell = 5", "min_cell = 3");
    let own = own.replace("visit = {}\n", "");
    let own = party_agent::policy::Policy::parse(&own).expect("a policy");
    let me = "a".parse().expect("a name");
    let denied =
        |plan: &party_agent::plan::Plan| crate::plan::fixture::denials(plan, &me, &own).join("; ");
    let without = compiled(&plain, &all).expect("a plan");
    assert!(
        denied(&without).contains("tables.visits.cohorts"),
        "{}",
        denied(&without)
    );
    let visits = |c: &mut party_agent::catalogue::Catalogue| {
        c.tables.get_mut("visits").expect("a table").cohorts = Some(kept.clone())
    };
    all.values_mut().for_each(visits);
    let with = compiled(&plain, &all).expect("a plan");
    assert_eq!(denied(&with), "");
    let refused = [
        (
            "SUM(CASE WHEN ward = 'in' THEN paid END)",
            "counts some in another way",
        ),
        (
            "COUNT(CASE WHEN ward = 'in' THEN 1 END)",
            "counts some in another way",
        ),
        (
            "COUNT(*) FILTER (WHERE ward = 'in')",
            "counts some in another way",
        ),
    ];
    for (select, expected) in refused {
        let told = compiled(&crate::sdc::job(&names, select, ""), &all).expect_err(select);
        assert!(told.contains(expected), "{select}: {told}");
    }
    let distinct = plain.replace("SELECT * FROM a.visits", "SELECT DISTINCT * FROM a.visits");
    let told = compiled(&distinct, &all).expect_err("more than rows");
    assert!(
        told.contains("more than choose and transform rows"),
        "{told}"
    );
    let joined = plain.replace(
        "SELECT kind, SUM(paid) AS paid FROM",
        "SELECT COUNT(*) FROM a.visits x JOIN b.visits y ON x.person = y.person -- ",
    );
    let joined = joined.replace("correlations", "join = \"hidden\"\ncorrelations");
    let told = compiled(&joined, &all).expect_err("a join");
    assert!(told.contains("keeps account of who is counted"), "{told}");
}
