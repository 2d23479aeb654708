//! A plan's model over a join on one session: this holder's rows as numbers in fixed point, and the protocol.

mod card;
mod hazards;
mod meter;
mod resumed;
mod trees;

use std::sync::Arc;

use coordinator::job::FailureClass;
use engine::fixed::FixedPoint;
use engine::prg::{Prg, Seed};
use protocols::correlate::Stock;
use protocols::disclose::Disclosure;
use protocols::psi::circuit::Rows;
use protocols::psi::keys::{KeyHash, Normalise};
use protocols::psi::{self, Item};
use protocols::session::Session;
use protocols::train::binned::Quantiles;
use protocols::train::glm::{COLUMN_BITS, Family, Released};
use protocols::train::{hazards as cox, vertical};

use resumed::Keeping;

use super::{Broken, Computed, Failure, Output, Stage, Task, internal, result_failure};
use crate::local::bins::Bins;
use crate::local::{self, Layout, People};
use crate::plan::VerticalPlan;
use crate::result;
use crate::source::SourceError;
use crate::spec;

/// The greatest square mean of a table's counts.
const MOST_COUNT: f64 = 256.0;

/// The least and the greatest square mean of a table's amounts in their unit.
const LEAST_AMOUNT: f64 = 1.0 / 256.0;
const MOST_AMOUNT: f64 = 16.0;

/// A last step that lowers the deviance by more is none at an end.
const MOST_DECREMENT: f64 = 1e-3;

impl Task<'_> {
    /// Joins, fits, evaluates and releases.
    pub(super) async fn vertical(
        &self,
        session: &mut Session,
        of: &VerticalPlan,
        disclosure: Disclosure,
    ) -> Result<Computed, Broken> {
        let (session_id, me) = (*session.session_id(), session.seat().index());
        let own = self.own_rows(&session_id, me, of).await?;
        let mut keeping = Keeping::new(self, of, own.as_ref());
        let from = keeping.standing(session).await?;
        // What is left of the fit takes less than the whole.
        let of = &VerticalPlan {
            n_done: from.as_ref().map_or(0, |from| from.step),
            ..of.clone()
        };
        let course = &mut keeping.course(from);
        let mut ready = self.ready(session, of, own).await?;
        self.progress.enter(Stage::Compute);
        let own = ready.own.take();
        let report = own.as_ref().map(|own| own.report.clone());
        let mut contributions = Vec::new();
        let (table, model) = match &of.card {
            _ if of.trees.is_some() => self.forest(session, of, (ready, own), disclosure).await?,
            Some(card) => {
                let run = card::Run {
                    of,
                    card,
                    ready,
                    course,
                };
                self.card(session, run, own, disclosure).await?
            }
            None => {
                let method = self.plan.setting().method;
                let shape = of.shape(&ready.sizes, method);
                let rows = own.map(|own| own.rows);
                let stock = &mut ready.stock;
                let found = match of.timed(&ready.sizes, method) {
                    Some(timed) => {
                        cox::train(session, rows, &timed, course, stock, disclosure).await?
                    }
                    None => {
                        let run = vertical::train(session, rows, &shape, course, stock, disclosure);
                        let trained = run.await?;
                        contributions = trained.contributions;
                        trained.released
                    }
                };
                let table = match found {
                    None => None,
                    Some(found) => {
                        self.judge(of, &found)?;
                        let table = result::fitted(self.plan, of, &found);
                        Some(table.map_err(|e| result_failure(&e))?)
                    }
                };
                (table, None)
            }
        };
        Ok(Computed {
            output: table.map(Output::Table),
            rows_used: report.as_ref().map_or(0, |r: &local::KeyReport| r.rows),
            keys: report,
            traffic: session.traffic(),
            model,
            contributions: self.metered(of, &contributions)?,
            matched_keys: None,
        })
    }

    /// Reads this holder's rows, of a party that has any.
    async fn own_rows(
        &self,
        session_id: &[u8; 32],
        me: usize,
        of: &VerticalPlan,
    ) -> Result<Option<Own>, Broken> {
        self.progress.enter(Stage::Read);
        Ok(match of.tables.iter().position(|table| table.seat == me) {
            Some(place) => Some(self.rows_of(session_id, of, place).await?),
            None => None,
        })
    }

    /// Agrees on sizes, and prepares.
    async fn ready(
        &self,
        session: &mut Session,
        of: &VerticalPlan,
        mut own: Option<Own>,
    ) -> Result<Ready, Broken> {
        let place = own.as_ref().map(|own| own.place);
        // A dealer knows the published sizes alone, so tables are filled up to them.
        let n_mine = own.as_ref().map_or(0, |own| own.rows.keys.len());
        let sizes = match self.plan.dealer {
            Some(_) => of.bounds(),
            None => {
                let seats: Vec<usize> = of.tables.iter().map(|t| t.seat).collect();
                announced(session, (&seats, of.bounds()), n_mine).await?
            }
        };
        if let (Some(place), Some(own)) = (place, &mut own) {
            fill_up(session, &mut own.rows, sizes[place]);
            own.bins.iter_mut().for_each(|c| c.resize(sizes[place], 0));
        }
        let needs = match self.plan.dealer {
            Some(_) => self.plan.needs(),
            None => self.plan.needs_of_model(of, &sizes),
        };
        let stock = self.stock(session, &needs).await?;
        Ok(Ready { own, sizes, stock })
    }

    /// This holder's rows, as the protocol takes them.
    async fn rows_of(
        &self,
        session_id: &[u8; 32],
        of: &VerticalPlan,
        place: usize,
    ) -> Result<Own, Failure> {
        let rule = Normalise::named(&of.normalise);
        let rule = rule.ok_or_else(|| internal("the plan has an unknown rule for spellings"))?;
        let labels: Vec<&str> = of.tables.iter().map(|t| t.label.as_str()).collect();
        let hash = Arc::new(KeyHash::new(session_id, &labels.join(" = "), rule));
        let has_label = of.label.0 == place;
        let n_features = of.features.iter().filter(|(p, _)| *p == place).count();
        let layout = Layout {
            n_keys: of.tables[place].n_keys,
            n_numbers: n_features + usize::from(has_label) * (1 + of.hazards.iter().len()),
            has_text: has_label && of.sample.is_some(),
            keeps_missing: of.keeps_missing(),
            is_digested: of.checkpoint_every > 0,
        };
        let me = &self.plan.seats[self.binding.me.index()];
        let at_most = of.tables[place].at_most.max(1);
        let progress = |rows: u64| self.progress.within(rows as f64 / at_most as f64);
        let read = local::people(self.plan, me, self.source, (&hash, layout), &progress).await;
        let people = read.map_err(|e| Failure::source(&e))?;
        let columns = columns(of, place, &people, &[]).map_err(|e| Failure::source(&e))?;
        let Columns {
            narrow,
            bins,
            cut,
            edges,
        } = columns;
        let rows = Rows {
            keys: people.items.clone(),
            narrow,
            wide: Vec::new(),
        };
        Ok(Own {
            place,
            rows,
            bins,
            cut,
            edges,
            report: people.report(),
            people,
        })
    }

    /// Whether what was released is a model.
    fn judge(&self, of: &VerticalPlan, found: &Released) -> Result<(), Failure> {
        let data = |what: String, advice| Failure::here(FailureClass::Data, what, advice);
        if let Some(fault) = hazards::fault(of, found) {
            return Err(fault);
        }
        if !found.is_enough {
            return Err(data(
                format!("fewer than {} rows in common are fitted", of.at_least),
                "leave features out, or bring more rows",
            ));
        }
        let n_columns = of.n_columns() as u64;
        if let Some(sound) = found.n_sound.iter().find(|n| **n < n_columns) {
            let column = of.term(usize::try_from(*sound).unwrap_or(0));
            let is_first = found.n_sound[0] < n_columns;
            return Err(match is_first {
                true => data(
                    format!(
                        "the design is singular: {column} is a linear combination of the columns before it"
                    ),
                    "leave one of these columns out",
                ),
                false => data(
                    format!(
                        "separation: labels are told apart without error, as it seems by {column} or columns before it"
                    ),
                    "leave that column out",
                ),
            });
        }
        if found.decrement >= MOST_DECREMENT {
            return Err(data(
                format!(
                    "no convergence after {} steps: the last one still lowered the deviance by {:.3e}",
                    of.steps, found.decrement
                ),
                "write more steps, or look for columns that tell labels apart without error",
            ));
        }
        Ok(())
    }
}

/// What a holder brings.
struct Own {
    /// The place of its table.
    place: usize,
    rows: Rows,
    /// Of trees at the hub the numbers of the bins of its features.
    bins: Vec<Vec<u64>>,
    /// Of a scorecard how its features are cut.
    cut: Vec<card::Cut>,
    /// Of trees the bins of its features.
    edges: Vec<Bins>,
    report: local::KeyReport,
    /// Its rows as they were read.
    people: People,
}

/// What a run begins with.
struct Ready {
    own: Option<Own>,
    /// How many keys each table has, in the order of tables.
    sizes: Vec<usize>,
    stock: Stock,
}

/// Tells all others how many keys come, and hears theirs: in the order of tables.
pub(super) async fn announced(
    session: &mut Session,
    (seats, mut sizes): (&[usize], Vec<usize>),
    n_mine: usize,
) -> Result<Vec<usize>, Broken> {
    let place = |seat: usize| seats.iter().position(|s| *s == seat);
    if let Some(mine) = place(session.seat().index()) {
        sizes[mine] = n_mine;
    }
    for peer in session.peers() {
        let theirs = place(peer.index());
        let most = theirs.map_or(0, |place| sizes[place]);
        let n = psi::announce(session, peer, n_mine, most).await?;
        if let Some(place) = theirs {
            sizes[place] = n;
        }
    }
    Ok(sizes)
}

/// Fills a table up with keys that nobody has.
pub(super) fn fill_up(session: &mut Session, rows: &mut Rows, n_rows: usize) {
    let n_more = n_rows.saturating_sub(rows.keys.len());
    let seed: Seed = session.own_seed("keys that fill a table up");
    let mut words = vec![0u128; n_more];
    Prg::new(&seed, 0).fill_ring(&mut words);
    let keys = words.into_iter().map(u128::to_le_bytes);
    rows.keys.extend(keys.collect::<Vec<Item>>());
    rows.narrow.iter_mut().for_each(|c| c.resize(n_rows, 0));
}

/// What a holder makes of its rows.
#[derive(Default)]
struct Columns {
    narrow: Vec<Vec<u64>>,
    bins: Vec<Vec<u64>>,
    cut: Vec<card::Cut>,
    edges: Vec<Bins>,
}

/// Whether a row is fitted, if it is in common.
fn is_used(of: &VerticalPlan, place: usize, people: &People, row: usize) -> bool {
    match &of.sample {
        Some(sample) if of.label.0 == place => people.texts.get(row) == Some(&sample.train),
        _ => true,
    }
}

/// The columns of the table at a place, in the order of [`vertical`] or of what else runs, and how features are cut.
/// `told`: of a scorecard that is cut at quantiles of the rows in common, where these are.
fn columns(
    of: &VerticalPlan,
    place: usize,
    people: &People,
    told: &[Quantiles],
) -> Result<Columns, SourceError> {
    let table = &of.tables[place].label;
    let is = |row: usize, value: Option<&String>| people.texts.get(row) == value;
    let is_used = |row: usize| is_used(of, place, people, row);
    let mut made = Columns::default();
    match (&of.card, &of.trees) {
        (Some(card), _) => {
            let wanted = card::Wanted { of, card, place };
            (made.narrow, made.cut) = card::columns(&wanted, (people, &is_used), told)?;
        }
        (None, Some(trees)) => trees::columns(of, trees, place, people, &mut made)?,
        (None, None) => {
            let names = of.features.iter().filter(|(p, _)| *p == place);
            let names = names.zip(&people.numbers);
            let scaled = match of.is_filled(place) {
                true => in_root_mean_squares,
                false => standardised,
            };
            let columns = names.map(|((_, name), values)| scaled(values, table, name));
            made.narrow = columns.collect::<Result<_, _>>()?;
        }
    }
    let columns = &mut made.narrow;
    let n_rows = people.items.len();
    if of.label.0 == place && of.hazards.is_some() {
        columns.push((0..n_rows).map(|row| u64::from(is_used(row))).collect());
        columns.push(hazards::places(of, table, people, &is_used)?);
    } else if of.label.0 == place {
        let labels = people.numbers.last().map_or(&[][..], Vec::as_slice);
        let labels: Vec<f64> = labels.iter().map(|v| v / of.label_unit()).collect();
        check_labels(of, table, &labels)?;
        let test = of.sample.as_ref().and_then(|s| s.test.as_ref());
        let is_kept = |row: usize| test.is_some() && is(row, test);
        let column = |f: &dyn Fn(usize) -> u64| (0..n_rows).map(f).collect::<Vec<u64>>();
        columns.push(column(&|row| u64::from(is_used(row))));
        let used = (0..n_rows).map(|row| f64::from(u8::from(is_used(row))) * labels[row]);
        let label_bits = match of.trees {
            Some(_) => 0,
            None => of.family().label_bits(),
        };
        columns.push(fixed(used, label_bits, table, &of.label.1)?);
        if !of.scores.is_empty() {
            let is_bad = |row: usize| labels[row] == 1.0;
            columns.push(column(&|row| u64::from(is_kept(row) && is_bad(row))));
            columns.push(column(&|row| u64::from(is_kept(row) && !is_bad(row))));
            if of.of_train.is_some() && of.trees.is_none() {
                columns.push(column(&|row| u64::from(is_used(row) && is_bad(row))));
            }
            if of.n_kept() > 1 {
                let oot = of.sample.as_ref().map_or(&[][..], |s| &s.oot);
                let is_oot = |row: usize| people.texts.get(row).is_some_and(|v| oot.contains(v));
                columns.push(column(&|row| u64::from(is_oot(row) && is_bad(row))));
                columns.push(column(&|row| u64::from(is_oot(row) && !is_bad(row))));
            }
        }
    }
    if place == 0 && of.trees.is_none() {
        columns.push(vec![1; n_rows]);
    }
    Ok(made)
}

/// A feature with levels has no others than those that the job lists.
fn check_levels(
    values: &[f64],
    bins: &spec::Bins,
    (table, name): (&str, &str),
) -> Result<(), SourceError> {
    if !values.contains(&-1.0) || !matches!(bins, spec::Bins::Levels(_)) {
        return Ok(());
    }
    let what = "a value is none of the levels that the job lists";
    let advice = "list all levels under compute.train.categorical";
    Err(SourceError::column(table, name, what, advice))
}

/// Values less their mean, in units of their standard deviation.
fn standardised(values: &[f64], table: &str, name: &str) -> Result<Vec<u64>, SourceError> {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
    let deviation = (squares / n).sqrt();
    if !deviation.is_finite() || (deviation <= 1e-12 * mean.abs() && !values.is_empty()) {
        let what = "all values are the same, or too large to be squared";
        let advice = "leave the column out of the job's features";
        return Err(SourceError::column(table, name, what, advice));
    }
    let scaled = values.iter().map(|v| (v - mean) / deviation);
    fixed(scaled, COLUMN_BITS, table, name)
}

/// Values in units of their root mean square: 0 stays 0, which also stands for people who are not there.
fn in_root_mean_squares(values: &[f64], table: &str, name: &str) -> Result<Vec<u64>, SourceError> {
    let squares = values.iter().map(|v| v * v).sum::<f64>();
    let unit = (squares / values.len().max(1) as f64).sqrt();
    if !unit.is_finite() || (unit == 0.0 && !values.is_empty()) {
        let what = "all values are 0 or missing, or too large to be squared";
        let advice = "leave the column out of the job's features";
        return Err(SourceError::column(table, name, what, advice));
    }
    fixed(values.iter().map(|v| v / unit), COLUMN_BITS, table, name)
}

fn fixed(
    values: impl Iterator<Item = f64>,
    bits: u32,
    table: &str,
    name: &str,
) -> Result<Vec<u64>, SourceError> {
    let wrong = |_| {
        let advice = "leave the column out of the job";
        SourceError::column(table, name, "a value has no place in fixed point", advice)
    };
    let point = FixedPoint::new(bits).map_err(wrong)?;
    // Below 2^61 in two's complement.
    let encoded = values.map(|v| point.encode_within(v, 1 << 61).map_err(wrong));
    encoded
        .map(|v| v.map(|v| v.cast_unsigned() as u64))
        .collect()
}

fn check_labels(of: &VerticalPlan, table: &str, labels: &[f64]) -> Result<(), SourceError> {
    let is_wrong = |v: &f64| match of.family() {
        Family::Logistic => *v != 0.0 && *v != 1.0,
        Family::Poisson => *v < 0.0 || v.fract() != 0.0,
        Family::Gamma => *v <= 0.0,
        Family::Linear => false,
    };
    let squares: f64 = labels.iter().map(|v| v * v).sum();
    let size = (squares / labels.len().max(1) as f64).sqrt();
    let sizes = match of.family() {
        Family::Logistic | Family::Poisson => 0.0..=MOST_COUNT,
        Family::Linear => LEAST_AMOUNT..=1.0,
        Family::Gamma => LEAST_AMOUNT..=MOST_AMOUNT,
    };
    let (what, advice) = if labels.iter().any(is_wrong) {
        let what = match of.family() {
            Family::Logistic => "a label is neither 0 nor 1",
            Family::Gamma => "a label is not positive",
            _ => "a label is no count",
        };
        (what, "publish the label as the model takes it")
    } else if sizes.contains(&size) || labels.is_empty() {
        return Ok(());
    } else if of.family() == Family::Poisson {
        let what = "counts are larger than 256 in square mean";
        (what, "publish the label as the model takes it")
    } else {
        (
            "in label_unit, labels are more than 1 in square mean (16 of a gamma model), or less than 1/256",
            "write a label_unit in which they are somewhat less than 1",
        )
    };
    Err(SourceError::column(table, &of.label.1, what, advice))
}
