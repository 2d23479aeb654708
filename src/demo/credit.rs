//! `entente demo credit`: two banks and a bureau make a scorecard of the customers that they have in common.

use super::{Bundled, Told, bundled, crossed, shown, submitted, words};
use crate::cli::DemoArgs;
use crate::init::party_name;
use crate::outcome::{Failure, Outcome, Output, Reply};
use crate::rehearse::{Agents, Finished};
use crate::table::{grid, grouped, wrapped};
use serde_json::Value;

/// The job, as `examples/jobs` has it.
const JOB: &str = include_str!("../../examples/jobs/train-credit.toml");
const PARTIES: [Bundled; 3] = [
    bundled!("credit_taiwan", "bank_a", "loans.csv"),
    bundled!("credit_taiwan", "bank_b", "bills.csv"),
    bundled!("credit_taiwan", "bureau_c", "persons.csv"),
];
/// Who asks, and has the labels.
const BANK: &str = "bank_a";
/// Who deals random numbers, and has no data.
const DEALER: &str = "arbiter";

pub(crate) async fn credit(arguments: &DemoArgs, output: &Output) -> Outcome<Reply> {
    output.say("A bank knows which of its customers defaulted. Another bank and a bureau know other things about them. Together they make");
    output.say("a scorecard, and nobody learns which customers they have in common. (Real data: UCI \"Default of Credit Card Clients\", CC BY 4.0.)\n");
    output.say("1. On this machine start a coordinator and four agents, one of which has no data and deals random numbers: five processes");
    let parties = PARTIES.each_ref();
    shown(
        (&parties, Some(DEALER)),
        (arguments, output),
        tell,
        |told| {
            let fit = fit(&told.finished)?;
            Ok(format!(
                "\n5. The scorecard, which only {BANK} gets: {} customers in common were fitted\n\n{}\n6. On {} other customers in common: the joint model \
                 beside the models of each party's features alone\n\n{}\n7. What crossed the boundaries\n\n{}",
                grouped(&fit["n"].to_string()),
                points(&fit),
                grouped(&(whole(&fit["n_bad"]) + whole(&fit["n_good"])).to_string()),
                compared(&fit),
                crossed(&told.finished, "sent"),
            ))
        },
    )
    .await
}

async fn tell(agents: &Agents, output: &Output) -> Outcome<Told> {
    output.say("2. Each trusts the others' keys, and publishes what it has: columns and allowed uses, never rows");
    output.say(&format!(
        "3. {BANK} proposes a job, the others check it against their own policies:\n"
    ));
    for line in JOB.lines().skip_while(|line| !line.starts_with("[compute")) {
        output.say(&format!("       {line}"));
    }
    let bank = party_name(BANK, "the demo")?;
    let planned = agents[&bank].plan(JOB).await?;
    output.say("\n4. The plan that all compile, compare and sign");
    for line in words(&planned.plan, "vertical") {
        output.say(wrapped("     ", &line).trim_end());
    }
    submitted(agents, (BANK, JOB), planned).await
}

fn fit(finished: &Finished) -> Outcome<Value> {
    let document: Value = serde_json::from_str(&finished.result)
        .map_err(|_| Failure::runtime("result", "the demo's result cannot be read"))?;
    Ok(document["fit"].clone())
}

fn whole(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn number(value: &Value, digits: usize) -> String {
    value
        .as_f64()
        .map_or_else(|| "-".to_owned(), |v| format!("{v:.digits$}"))
}

/// The features of the model with their bins' points.
fn points(fit: &Value) -> String {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let features = list(&fit["features"]);
    let features = features.iter().filter(|f| f["in_model"] == true);
    let rows = features.map(|feature| {
        let bins = list(&feature["bins"]);
        let bins = bins.iter().map(|bin| {
            let label = bin["bin"].as_str().unwrap_or_default();
            format!("{label}: {}", number(&bin["points"], 0))
        });
        let name = feature["feature"].as_str().unwrap_or_default().to_owned();
        vec![
            name,
            number(&feature["iv"], 3),
            bins.collect::<Vec<_>>().join("  "),
        ]
    });
    let header = ["feature", "information", "points"].map(str::to_owned);
    let table = grid(header.to_vec(), rows.collect());
    format!(
        "{table}{} points for everybody; more is better; only its holder knows where a bin of others begins and ends\n",
        number(&fit["scorecard"]["base_points"], 0)
    )
}

/// Area under the curve and Kolmogorov–Smirnov distance, joint and alone.
fn compared(fit: &Value) -> String {
    let row = |name: &str, figures: &Value| {
        let figures = [number(&figures["auc"], 4), number(&figures["ks"], 4)];
        [vec![name.to_owned()], figures.to_vec()].concat()
    };
    let mut rows = vec![row("together", fit)];
    let alone = fit["alone"].as_object().into_iter().flatten();
    rows.extend(alone.map(|(name, figures)| row(&format!("{name} alone"), figures)));
    grid(
        ["features of", "AUC", "KS"].map(str::to_owned).to_vec(),
        rows,
    )
}
