//! Releases with noise, between real agents: what they say, what bounds a person, and budgets that no number of jobs at once and no
//! crash overruns.

use party_agent::agent::Mode;
use party_agent::privacy::Guarantee;
use serde_json::Value;

use crate::counters_crash::{MILESTONES, eight_attempts, killed};
use crate::world::{World, job};

/// What one job of these tests promises.
const PROMISE: Guarantee = Guarantee {
    eps_micro: 500_000,
    delta_log2: -40,
};

/// A policy that lets so much be lost to each recipient.
fn policy(budget: &str) -> String {
    format!(
        "min_cell = 3\nopen_counts = false\n{budget}\n[tables.visits.columns]\nperson = {{}}\n\
         kind = {{ group_by = true, filter = true, categories = [\"x\", \"y\", \"z\"] }}\n\
         stay = {{ aggregate = [\"count\", \"sum\", \"avg\"], range = [0, 9000000] }}\n"
    )
}

fn budget(promise: Guarantee) -> String {
    let Guarantee {
        eps_micro,
        delta_log2,
    } = promise;
    format!(
        "[tables.visits.dp]\neps_micro = {eps_micro}\ndelta_log2 = {delta_log2}\nperson = \"person\""
    )
}

/// A budget in which this many jobs of [`PROMISE`] find room, and not one more.
fn budget_for(n: u64) -> String {
    let each = PROMISE.rho_pico();
    let whole = PROMISE.eps_micro_of(n * each + each / 2);
    budget(Guarantee {
        eps_micro: whole,
        ..PROMISE
    })
}

/// The job of these tests with a clause.
fn noisy(promise: Guarantee, rows_per_person: u64) -> String {
    let Guarantee {
        eps_micro,
        delta_log2,
    } = promise;
    let job = job(&["a", "b"], &["a"], "ot");
    format!(
        "{job}[privacy.dp]\neps_micro = {eps_micro}\ndelta_log2 = {delta_log2}\nperson = \"person\"\n\
         rows_per_person = {rows_per_person}\n[privacy.dp.clamp]\nstay = [0, 30]\n"
    )
}

/// Two hundred persons with a row each in x, and one with a thousand rows of nine millions.
fn visits() -> String {
    let mut csv = String::from("person,kind,stay\n");
    for person in 0..200 {
        csv.push_str(&format!("p{person},x,{}\n", person % 10));
    }
    for _ in 0..1000 {
        csv.push_str("q,x,9000000\n");
    }
    csv
}

async fn world(policy: &str) -> World {
    let world = World::new(&["a", "b"]).await;
    for party in ["a", "b"] {
        world.write_visits(party, &visits());
        world.write_policy(party, policy);
    }
    world
}

fn number(of: &Value) -> f64 {
    of.as_f64()
        .or_else(|| of.as_str()?.parse().ok())
        .expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contributions_are_bounded_and_the_result_says_what_is_promised() {
    let generous = Guarantee {
        eps_micro: 20_000_000,
        delta_log2: -20,
    };
    let world = world(&policy(&budget(generous))).await;
    let a = world.agent("a", Mode::Rehearsal, true).await;
    let b = world.agent("b", Mode::Rehearsal, true).await;
    a.sees(&["a", "b"]).await;
    let job_id = a.submit(&noisy(generous, 2)).await;
    a.reaches(&job_id, &["completed"]).await;
    b.reaches(&job_id, &["completed"]).await;
    let result = a.result(&job_id).await.json();
    let privacy = &result["privacy"];
    assert_eq!(privacy["promise"]["eps_micro"], 20_000_000, "{result}");
    assert_eq!(privacy["promise"]["delta_log2"], -20);
    assert_eq!(
        (&privacy["person"], &privacy["rows_per_person"]),
        (&"person".into(), &2.into())
    );
    let sigma = |column: usize| {
        let column = &privacy["columns"][column];
        let shift = column["shift"].as_u64().expect("a shift");
        number(&column["deviation"]) / (1u64 << shift) as f64
    };
    assert_eq!(
        privacy["columns"][1]["clamp"],
        serde_json::json!(["0", "30"])
    );
    assert_eq!(privacy["columns"][1]["sensitivity"], "60");
    // σ² = N·k·Δ²/2ρ for two holders and two columns.
    let rho = generous.rho_pico() as f64 / 1e12;
    for (column, sensitivity) in [(0, 2.0), (1, 60.0)] {
        let exact = sensitivity * (4.0 / (2.0 * rho)).sqrt();
        assert!((sigma(column) / exact - 1.0).abs() < 0.01, "{result}");
    }
    // Two rows of the person with a thousand, each as 30; cut off at 40 deviations of either holder.
    let row = &result["rows"][0];
    assert_eq!(row[0], "x");
    let (n, days) = (number(&row[1]), number(&row[2]));
    assert!((n - 404.0).abs() <= 80.0 * sigma(0), "{result}");
    assert!((days - 1920.0).abs() <= 80.0 * sigma(1), "{result}");
    assert!(result["notes"].to_string().contains("ε = 20"), "{result}");
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_that_is_used_up_refuses_and_says_what_is_left() {
    let world = world(&policy(&budget_for(1))).await;
    let a = world.agent("a", Mode::Rehearsal, true).await;
    let b = world.agent("b", Mode::Rehearsal, true).await;
    a.sees(&["a", "b"]).await;
    let spec = noisy(PROMISE, 1);
    let first = a.submit(&spec).await;
    a.reaches(&first, &["completed"]).await;
    b.reaches(&first, &["completed"]).await;
    // The next is refused at the party that submits it, before anybody else hears of it.
    let second = a
        .post(
            "/v1/jobs",
            &serde_json::json!({ "spec": spec, "by": "maria" }),
        )
        .await;
    let told = second.json().to_string();
    assert_ne!(second.status, 200, "{told}");
    let half = PROMISE.eps_micro_within(PROMISE.rho_pico() / 2);
    let left = party_agent::privacy::eps_in_words(half);
    assert!(told.contains("tables.visits.dp.eps_micro"), "{told}");
    assert!(told.contains(&left[..4]), "{left} is left: {told}");
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_attempts_at_once_never_overrun_a_budget() {
    let world = world(&policy("")).await;
    world.write_policy("a", &policy(&budget_for(100)));
    world.write_policy("b", &policy(&budget_for(3)));
    let counts = eight_attempts(&world, &noisy(PROMISE, 1), "tables.visits.dp.eps_micro").await;
    let charged: Vec<_> = counts.charged.into_iter().collect();
    let key = ("visits".to_owned(), "a".to_owned());
    assert_eq!(charged, [(key, 3 * PROMISE.rho_pico())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_agent_never_loses_more_than_its_budget() {
    for (label, milestone) in MILESTONES {
        let world = world(&policy("")).await;
        world.write_policy("a", &policy(&budget_for(100)));
        world.write_policy("b", &policy(&budget_for(1)));
        let counts = killed(&world, &noisy(PROMISE, 1), (label, milestone)).await;
        let charged: u64 = counts.charged.values().sum();
        assert_eq!(charged, PROMISE.rho_pico(), "killed {label}");
    }
}
