//! A page for those who validate a model: tables and charts of a result, with nothing that has to be fetched.
//!
//! Everything on it is in `result.json`. Charts are SVG inside the page.

mod charts;

use serde_json::Value;
use thiserror::Error;

/// Why there is no page.
#[derive(Debug, Error)]
pub enum ReportError {
    /// The document is no result of a model.
    #[error("this is no result of a model: it has no fit")]
    NoModel,
    /// A chart cannot be drawn.
    #[error("a chart cannot be drawn: {0}")]
    Chart(String),
}

const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
    <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
    <title>Model report</title>\n<style>body{font-family:sans-serif;max-width:60em;margin:2em auto}\
    table{border-collapse:collapse;margin:1em 0}td,th{border:1px solid #ccc;padding:.2em .6em;text-align:right}\
    td:first-child,th:first-child{text-align:left}svg{max-width:100%}</style></head><body>\n";

/// The page of a model's result, as `result.json` has it.
///
/// # Errors
/// [`ReportError::NoModel`] if the result is that of something else.
pub fn page(result: &Value) -> Result<String, ReportError> {
    let fit = result["fit"].as_object().ok_or(ReportError::NoModel)?;
    let mut page = Page(HEAD.to_owned());
    let model = result["fit"]["model"].as_str().unwrap_or("model");
    page.title(1, &format!("A {model} model"));
    let figures = fit.iter().filter(|(_, value)| value.is_number());
    let figures = figures.map(|(name, value)| vec![name.clone(), text(value)]);
    page.table(&["figure", "value"], figures);
    coefficients(&mut page, result)?;
    losses(&mut page, &result["fit"]["loss"])?;
    let samples = samples(&result["fit"]);
    figures_of(&mut page, &samples);
    calibration(&mut page, &samples)?;
    confusion(&mut page, &samples);
    stability(&mut page, &samples)?;
    features(&mut page, &result["fit"]["features"])?;
    let notes: Vec<&str> = list(&result["notes"]).filter_map(Value::as_str).collect();
    if !notes.is_empty() {
        page.title(2, "Notes");
        page.table(&["note"], notes.iter().map(|note| vec![(*note).to_owned()]));
    }
    page.0.push_str("</body></html>\n");
    Ok(page.0)
}

/// A page that is being written.
struct Page(String);

impl Page {
    fn title(&mut self, level: u8, words: &str) {
        let words = escaped(words);
        self.0.push_str(&format!("<h{level}>{words}</h{level}>\n"));
    }

    fn table(&mut self, names: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
        let line = |cells: &[String], tag: &str| {
            let cells = cells
                .iter()
                .map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell)));
            format!("<tr>{}</tr>\n", cells.collect::<String>())
        };
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let rows: String = rows.into_iter().map(|row| line(&row, "td")).collect();
        let head = line(&names, "th");
        self.0.push_str(&format!("<table>\n{head}{rows}</table>\n"));
    }

    fn chart(&mut self, chart: Result<String, String>) -> Result<(), ReportError> {
        self.0.push_str(&chart.map_err(ReportError::Chart)?);
        Ok(())
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A cell: doubles with six digits, everything else as it stands.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => {
            let number = number.as_f64().unwrap_or(f64::NAN);
            match number.abs() {
                size if size >= 1e6 || (size < 1e-4 && size > 0.0) => format!("{number:.5e}"),
                _ => format!("{number:.6}"),
            }
        }
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn numbers(rows: &[&Value], name: &str) -> Vec<f64> {
    let cells = rows.iter().map(|row| row[name].as_f64());
    cells.map(|cell| cell.unwrap_or(0.0)).collect()
}

fn cells(rows: &[&Value], names: &[&str]) -> Vec<Vec<String>> {
    let row = |row: &&Value| names.iter().map(|name| text(&row[*name])).collect();
    rows.iter().map(row).collect()
}

/// The rows of the result, and intervals of coefficients if it has them.
fn coefficients(page: &mut Page, result: &Value) -> Result<(), ReportError> {
    let names: Vec<&str> = list(&result["columns"])
        .filter_map(|column| column["name"].as_str())
        .collect();
    page.title(2, "Result");
    let rows = list(&result["rows"]).map(|row| list(row).map(text).collect());
    page.table(&names, rows);
    let place = |name: &str| names.iter().position(|n| *n == name);
    let (Some(low), Some(high)) = (place("ci95_low"), place("ci95_high")) else {
        return Ok(());
    };
    let bars = list(&result["rows"]).filter_map(|row| {
        let number = |column: usize| row[column].as_f64();
        let middle = place("coef").and_then(number)?;
        Some((text(&row[0]), [number(low)?, middle, number(high)?]))
    });
    let bars: Vec<(String, [f64; 3])> = bars.collect();
    page.chart(charts::forest(
        "coefficients with intervals of 95 percent",
        &bars,
    ))
}

/// How the loss went down.
fn losses(page: &mut Page, loss: &Value) -> Result<(), ReportError> {
    let losses: Vec<f64> = list(loss).filter_map(Value::as_f64).collect();
    if losses.is_empty() {
        return Ok(());
    }
    page.title(2, "Loss step by step");
    let rows = losses.iter().enumerate();
    let rows = rows.map(|(step, loss)| vec![step.to_string(), format!("{loss:.6}")]);
    page.table(&["step", "mean log loss"], rows);
    page.chart(charts::curves(
        "mean log loss of the rows that are fitted, by step",
        ("step", "mean log loss"),
        &[("loss", losses)],
    ))
}

/// The samples of which figures are told: their names, and what is told of each.
fn samples(fit: &Value) -> Vec<(&'static str, &Value)> {
    let further = [("fitted", &fit["train"]), ("out of time", &fit["oot"])];
    let further = further.into_iter().filter(|(_, of)| of.is_object());
    [("test", fit)].into_iter().chain(further).collect()
}

/// Figures of scores side by side, where there is more than one sample.
fn figures_of(page: &mut Page, samples: &[(&str, &Value)]) {
    if samples.len() < 2 {
        return;
    }
    page.title(2, "Figures by sample");
    let names = samples.iter().map(|(name, _)| *name);
    let head: Vec<&str> = ["figure"].into_iter().chain(names).collect();
    let places = [
        "/n_bad",
        "/n_good",
        "/auc",
        "/gini",
        "/ks",
        "/logloss",
        "/brier",
        "/lift/lift",
        "/calibration/hosmer_lemeshow/p",
        "/psi/psi",
    ];
    let row = |place: &str| {
        let figure = |of: &Value| of.pointer(place).map_or_else(String::new, text);
        let cells = samples.iter().map(|(_, of)| figure(of));
        let name = place.trim_start_matches('/').rsplit('/').next();
        let name = match name.unwrap_or_default() {
            "p" => "p of Hosmer and Lemeshow".to_owned(),
            name => name.to_owned(),
        };
        [name].into_iter().chain(cells).collect::<Vec<String>>()
    };
    let rows = places.iter().map(|place| row(place));
    let is_told = |row: &Vec<String>| row[1..].iter().any(|cell| !cell.is_empty());
    page.table(&head, rows.filter(is_told));
}

/// Deciles: risks against what came, and what the worst ones catch.
fn calibration(page: &mut Page, samples: &[(&str, &Value)]) -> Result<(), ReportError> {
    let (mut risks, mut curves) = (Vec::new(), Vec::new());
    let mut caught_by_test = None;
    for (name, of) in samples {
        let deciles: Vec<&Value> = list(&of["calibration"]["deciles"]).collect();
        if deciles.is_empty() {
            continue;
        }
        page.title(2, &format!("Calibration: {name}"));
        let names = ["decile", "n", "bad", "mean_pred", "obs_rate"];
        page.table(&names, cells(&deciles, &names));
        let test = &of["calibration"]["hosmer_lemeshow"];
        page.table(&["chi2", "df", "p"], cells(&[test], &["chi2", "df", "p"]));
        let points = numbers(&deciles, "mean_pred").into_iter();
        let points = points.zip(numbers(&deciles, "obs_rate"));
        risks.push((*name, points.collect::<Vec<(f64, f64)>>()));
        let (rows, bad) = (numbers(&deciles, "n"), numbers(&deciles, "bad"));
        let good: Vec<f64> = rows.iter().zip(&bad).map(|(n, bad)| n - bad).collect();
        let [bad, good] = [caught(&bad), caught(&good)];
        let points = good.iter().copied().zip(bad.iter().copied());
        curves.push((*name, points.collect::<Vec<(f64, f64)>>()));
        caught_by_test.get_or_insert((*name, bad, good));
    }
    let Some((name, bad, good)) = caught_by_test else {
        return Ok(());
    };
    page.chart(charts::against(
        ("mean risk of a decile", "share of bad rows"),
        &risks,
    ))?;
    page.title(2, "Worst deciles first");
    page.chart(charts::curves(
        &format!("shares of all rows, up to a decile: {name}"),
        ("deciles, the worst first", "share"),
        &[("bad rows", bad), ("good rows", good)],
    ))?;
    page.chart(charts::against(
        ("good rows, share (ROC at deciles)", "bad rows, share"),
        &curves,
    ))
}

/// Shares of a total up to a decile, the last decile first.
fn caught(values: &[f64]) -> Vec<f64> {
    let all = values.iter().sum::<f64>().max(1.0);
    let sums = values.iter().rev().scan(0.0, |sum, value| {
        *sum += value / all;
        Some(*sum)
    });
    [0.0].into_iter().chain(sums).collect()
}

fn confusion(page: &mut Page, samples: &[(&str, &Value)]) {
    for (name, of) in samples {
        let matrices: Vec<&Value> = list(&of["confusion"]).collect();
        if matrices.is_empty() {
            continue;
        }
        page.title(2, &format!("Confusion matrices: {name}"));
        let names = ["cut", "tp", "fp", "fn", "tn"];
        page.table(&names, cells(&matrices, &names));
    }
}

/// How the scores of other samples are spread over tenths of the fitted rows', and rows over bins.
fn stability(page: &mut Page, samples: &[(&str, &Value)]) -> Result<(), ReportError> {
    let shares = |psi: &Value, name: &str| -> Vec<f64> {
        let shares = list(&psi[name]).filter_map(Value::as_f64);
        shares.collect()
    };
    let mut spreads: Vec<(&str, Vec<f64>)> = Vec::new();
    let mut indices = Vec::new();
    for (name, of) in samples {
        let psi = &of["psi"];
        let (expected, actual) = (shares(psi, "expected_share"), shares(psi, "actual_share"));
        if expected.is_empty() || expected.len() != actual.len() {
            continue;
        }
        if spreads.is_empty() {
            spreads.push(("fitted", expected));
        }
        spreads.push((name, actual));
        indices.push(format!("{name} {}", text(&psi["psi"])));
    }
    if !spreads.is_empty() {
        page.title(2, &format!("Stability of scores: {}", indices.join(", ")));
        page.chart(charts::bars(
            "share of rows in tenths of the fitted rows' scores",
            ("tenth, the greatest scores first", "share of rows"),
            &spreads,
        ))?;
    }
    let told: Vec<_> = samples
        .iter()
        .filter(|(_, of)| of["csi"].is_array())
        .collect();
    if let Some((_, first)) = told.first() {
        page.title(2, "Stability of features (CSI)");
        let names = told.iter().map(|(name, _)| *name);
        let head: Vec<&str> = ["feature"].into_iter().chain(names).collect();
        let rows = list(&first["csi"]).enumerate().map(|(place, feature)| {
            let cells = told.iter().map(|(_, of)| text(&of["csi"][place]["csi"]));
            [text(&feature["feature"])]
                .into_iter()
                .chain(cells)
                .collect()
        });
        page.table(&head, rows);
    }
    Ok(())
}

/// Bins of a scorecard's features and their weights.
fn features(page: &mut Page, features: &Value) -> Result<(), ReportError> {
    for feature in list(features) {
        let bins: Vec<&Value> = list(&feature["bins"]).collect();
        let name = text(&feature["feature"]);
        page.title(
            2,
            &format!("{name}: information value {}", text(&feature["iv"])),
        );
        let names = ["bin", "n", "bad", "woe", "points"];
        page.table(&names, cells(&bins, &names));
        let words = format!("weights of evidence of {name}, by bin");
        let axes = ("bin, in the order of the table", "weight of evidence");
        page.chart(charts::bars(
            &words,
            axes,
            &[("woe", numbers(&bins, "woe"))],
        ))?;
    }
    Ok(())
}
