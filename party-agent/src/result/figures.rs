//! What is told of the scores of rows that were not fitted.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringViewArray};
use protocols::train::evaluate::{Above, Calibration, Confusion, Figures, Stability};
use serde_json::{Value, json};

use super::tails;
use crate::plan::Plan;
use crate::spec::Report;

/// A share of no rows is taken for this much in a population stability index.
const LEAST_SHARE: f64 = 1e-4;

/// Adds what a job asks for to the numbers that describe a fit.
pub(super) fn add_figures(described: &mut Value, figures: &Figures, asked: &[Report]) {
    described["n_bad"] = json!(figures.n_bad);
    described["n_good"] = json!(figures.n_good);
    let totals = [figures.n_bad, figures.n_good];
    for report in asked {
        match report {
            Report::Auc => {
                described["auc"] = json!(figures.auc);
                described["gini"] = json!(2.0 * figures.auc - 1.0);
            }
            Report::Gini => described["gini"] = json!(2.0 * figures.auc - 1.0),
            Report::Ks => described["ks"] = json!(figures.ks),
            Report::Logloss => {
                described["logloss"] = json!(figures.losses.map(|l| l.log_loss));
            }
            Report::Brier => described["brier"] = json!(figures.losses.map(|l| l.brier)),
            Report::Lift => {
                described["lift"] = json!(figures.lift.map(|above| lift(above, totals)));
            }
            Report::Calibration => {
                described["calibration"] = json!(figures.calibration.as_ref().map(calibration));
            }
            Report::Confusion => {
                described["confusion"] = json!(figures.confusion.map(|of| confusion(of, totals)));
            }
            Report::Psi => described["psi"] = json!(figures.stability.as_ref().map(stability)),
            // It is no figure of scores, and comes apart.
            Report::Csi | Report::Se | Report::P | Report::Ci95 | Report::Loss => {}
        }
    }
}

/// A sample beside that which is kept for a test: its name in a result, and its rows in words.
pub(super) type OfSample = (&'static str, &'static str);

pub(super) const OF_TRAIN: OfSample = ("train", "rows that are fitted");
pub(super) const OF_OOT: OfSample = ("oot", "rows out of time");

/// Adds what a job asks for of a further sample; and what is said where that is not told.
pub(super) fn add_sample(
    described: &mut Value,
    ((name, words), figures): (OfSample, Option<&Figures>),
    asked: &[Report],
    (at_least, min_cell): (u64, u64),
) -> Vec<String> {
    let mut of_sample = json!({});
    let notes = match figures {
        Some(figures) => {
            add_figures(&mut of_sample, figures, asked);
            let notes = withheld(figures, asked, min_cell);
            notes.map(|note| format!("of {words} {note}")).collect()
        }
        None => vec![format!(
            "of {words} fewer than {at_least} are bad, or good: nothing is told of their scores"
        )],
    };
    described[name] = of_sample;
    notes
}

/// Adds what a job asks for of rows kept for a test; and what is said where that is not told.
pub(super) fn add_test(
    described: &mut Value,
    figures: Option<&Figures>,
    asked: &[Report],
    limits: (u64, u64),
) -> Vec<String> {
    if let Some(figures) = figures {
        add_figures(described, figures, asked);
    }
    untold(figures, asked, limits)
}

/// How far samples are spread over the bins of a feature otherwise than the one that is fitted.
#[derive(Clone, Debug, PartialEq)]
pub struct Stable {
    /// Its name.
    pub feature: String,
    /// The index of the rows kept for a test, and that of rows out of time if there are any; `None` where it is not told.
    pub samples: Vec<Option<f64>>,
}

/// Adds the indices of each sample; and what is said where one is not told.
pub(super) fn add_spreads(described: &mut Value, found: &[Stable], min_cell: u64) -> Vec<String> {
    let n_samples = found.first().map_or(0, |stable| stable.samples.len());
    let mut notes = Vec::new();
    for sample in 0..n_samples {
        let rows = ["rows kept for a test", OF_OOT.1][sample];
        let index =
            |stable: &Stable| json!({ "feature": stable.feature, "csi": stable.samples[sample] });
        let told = json!(found.iter().map(index).collect::<Vec<Value>>());
        match sample {
            0 => described["csi"] = told,
            _ => described[OF_OOT.0]["csi"] = told,
        }
        let withheld = found
            .iter()
            .filter(|stable| stable.samples[sample].is_none());
        notes.extend(withheld.map(|stable| {
            format!(
                "csi of {} is not told of {rows}: there are too few of them, or fewer than {min_cell} of them or of the fitted rows in a bin",
                stable.feature
            )
        }));
    }
    notes
}

/// What is said where a job asks for figures that are not told.
pub(super) fn untold(
    figures: Option<&Figures>,
    asked: &[Report],
    (at_least, min_cell): (u64, u64),
) -> Vec<String> {
    let Some(figures) = figures else {
        return match asked.is_empty() {
            true => Vec::new(),
            false => vec![format!(
                "fewer than {at_least} bad or good rows are kept for a test: nothing is told of scores"
            )],
        };
    };
    withheld(figures, asked, min_cell).collect()
}

/// What is said where counts are withheld.
fn withheld(figures: &Figures, asked: &[Report], min_cell: u64) -> impl Iterator<Item = String> {
    let withheld = asked.iter().filter_map(|report| match report {
        Report::Lift if figures.lift.is_none() => Some("lift"),
        Report::Calibration if figures.calibration.is_none() => Some("calibration"),
        Report::Confusion if figures.confusion.is_none() => Some("confusion"),
        Report::Psi if figures.stability.is_none() => Some("psi"),
        _ => None,
    });
    withheld.map(move |word| {
        format!(
            "{word} is not told: between two of the scores at which rows are counted there would be fewer than {min_cell}, of bad or good ones where these are told apart"
        )
    })
}

/// The columns of a table with a row for each sample.
pub(super) fn of_samples(plan: &Plan, told: &[(&str, Figures)]) -> Vec<ArrayRef> {
    let counts = |f: &dyn Fn(&Figures) -> u64| -> ArrayRef {
        let counts = told.iter().map(|(_, found)| f(found).cast_signed());
        Arc::new(Int64Array::from_iter_values(counts))
    };
    let parts = |f: &dyn Fn(&Figures) -> f64| -> ArrayRef {
        let parts = told.iter().map(|(_, found)| f(found));
        Arc::new(Float64Array::from_iter_values(parts))
    };
    let values = plan.outputs.iter().map(|column| -> ArrayRef {
        match column.name.as_str() {
            "n_bad" => counts(&|f| f.n_bad),
            "n_good" => counts(&|f| f.n_good),
            "auc" => parts(&|f| f.auc),
            "ks" => parts(&|f| f.ks),
            _ => {
                let names = told.iter().map(|(name, _)| *name);
                Arc::new(StringViewArray::from_iter_values(names))
            }
        }
    });
    values.collect()
}

/// What is said of samples of which nothing is told.
pub(super) fn untold_samples(
    samples: &[(&str, Option<Figures>)],
    at_least: u64,
) -> impl Iterator<Item = String> {
    let untold = samples.iter().filter(|(_, found)| found.is_none());
    untold.map(move |(name, _)| {
        format!(
            "of the {name} sample fewer than {at_least} rows are bad, or good: nothing is told of their scores"
        )
    })
}

/// The tenth of the rows with the greatest scores.
fn lift(above: Above, [n_bad, n_good]: [u64; 2]) -> Value {
    let n = above.bad + above.good;
    let bad_rate = above.bad as f64 / n as f64;
    json!({
        "top": 0.1,
        "n": n,
        "bad": above.bad,
        "bad_rate": bad_rate,
        "lift": bad_rate / (n_bad as f64 / (n_bad + n_good) as f64),
        "capture": above.bad as f64 / n_bad as f64,
    })
}

/// Tenths by score, the lowest first, and the test of Hosmer and Lemeshow.
fn calibration(of: &Calibration) -> Value {
    let mut chi2 = 0.0;
    let deciles = of.tenths.iter().enumerate().map(|(i, (rows, risk))| {
        let n = (rows.bad + rows.good) as f64;
        let observed = rows.bad as f64 / n;
        chi2 += n * (observed - risk).powi(2) / (risk * (1.0 - risk));
        json!({
            "decile": i + 1,
            "n": rows.bad + rows.good,
            "bad": rows.bad,
            "mean_pred": risk,
            "obs_rate": observed,
        })
    });
    let deciles: Vec<Value> = deciles.collect();
    let df = deciles.len() as u64 - 2;
    json!({
        "deciles": deciles,
        "ks_of_deciles": ks_of_deciles(of),
        "hosmer_lemeshow": { "chi2": chi2, "df": df, "p": tails::chi_squared_upper(chi2, df as f64) },
    })
}

/// The greatest distance between the shares of bad and good rows over the ends of deciles: what tools give that cut scores
/// into buckets first. It is never more than that over all scores.
fn ks_of_deciles(of: &Calibration) -> f64 {
    let all = of.tenths.iter().fold([0u64; 2], |sum, (rows, _)| {
        [sum[0] + rows.bad, sum[1] + rows.good]
    });
    let mut up_to = [0u64; 2];
    let distances = of.tenths.iter().map(|(rows, _)| {
        up_to = [up_to[0] + rows.bad, up_to[1] + rows.good];
        let [bad, good] = [0, 1].map(|i| up_to[i] as f64 / all[i].max(1) as f64);
        (bad - good).abs()
    });
    distances.fold(0.0, f64::max)
}

/// Three confusion matrices, bad being positive.
fn confusion(of: Confusion, [n_bad, n_good]: [u64; 2]) -> Value {
    let cuts = [
        ("risk of 0.5", of.at_half),
        ("lowest 70 percent approved", of.at_approval),
        ("ks", of.at_ks),
    ];
    let matrix = |(cut, above): (&str, Above)| {
        json!({
            "cut": cut,
            "tp": above.bad,
            "fp": above.good,
            "fn": n_bad - above.bad,
            "tn": n_good - above.good,
        })
    };
    json!(cuts.map(matrix))
}

/// The population stability index of scores: rows kept for a test against rows that were fitted.
fn stability(of: &Stability) -> Value {
    let shares = |counts: &[u64]| {
        let n = counts.iter().sum::<u64>().max(1) as f64;
        let shares = counts.iter().map(|count| *count as f64 / n);
        shares.collect::<Vec<f64>>()
    };
    let (expected, actual) = (shares(&of.base), shares(&of.rows));
    let terms = expected.iter().zip(&actual).map(|(expected, actual)| {
        let (expected, actual) = (expected.max(LEAST_SHARE), actual.max(LEAST_SHARE));
        (actual - expected) * (actual / expected).ln()
    });
    json!({
        "psi": terms.sum::<f64>(),
        "expected_share": expected,
        "actual_share": actual,
        "least_share": LEAST_SHARE,
    })
}
