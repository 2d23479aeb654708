//! A scorecard over a join: this holder's features in bins, their weights from what is counted, and the fit.

use std::collections::BTreeMap;

use coordinator::contract::Digest;
use coordinator::job::FailureClass;
use protocols::disclose::Disclosure;
use protocols::psi::circuit::Rows;
use protocols::resume::Course;
use protocols::session::Session;
use protocols::train::binned::{self, Binned, Counted, Counts, Model, Quantiles, Short};

use serde_json::json;

use super::super::train::scorecard::between;
use super::super::{Broken, Failure, Task, internal, result_failure};
use super::{Own, Ready, check_levels, is_used};
use crate::local::People;
use crate::model::{ModelPart, PartBin, PartFeature};
use crate::plan::{CardPlan, VerticalPlan};
use crate::result::{self, BinnedFeature, Edges, Points, ResultTable, Weighing};
use crate::source::SourceError;
use crate::spec::{Bins, Closed, Cutting};

/// A feature that tells less is a constant.
const LEAST_INFORMATION: f64 = 1e-9;

/// How a holder cuts one of its features.
pub(super) struct Cut {
    /// The feature's place in the plan.
    feature: usize,
    /// Of a number, ascending.
    cuts: Vec<f64>,
    /// Of each bin whether it has rows.
    has_rows: Vec<bool>,
}

/// A run that has been prepared.
pub(super) struct Run<'a, 'b> {
    pub(super) of: &'a VerticalPlan,
    pub(super) card: &'a CardPlan,
    pub(super) ready: Ready,
    /// Where the fit begins, and who keeps where it stands.
    pub(super) course: &'a mut Course<'b>,
}

impl Task<'_> {
    /// Counts, weighs, fits, evaluates and releases.
    pub(super) async fn card(
        &self,
        session: &mut Session,
        run: Run<'_, '_>,
        own: Option<Own>,
        disclosure: Disclosure,
    ) -> Result<(Option<ResultTable>, Option<ModelPart>), Broken> {
        let Run {
            of,
            card,
            ready,
            course,
        } = run;
        let (sizes, mut stock) = (ready.sizes, ready.stock);
        let shape = of.binned(&sizes, self.plan.setting().method);
        let shape = shape.ok_or_else(|| internal("the plan has no bins"))?;
        let own = match shape.quantiled.is_empty() {
            true => own,
            false => {
                let coded = own.as_ref().map(|own| coded(of, &shape, own));
                let told =
                    binned::quantiles(session, coded, &shape, &mut stock, &disclosure).await?;
                let own = own.map(|own| own.cut_at(of, &told));
                own.transpose().map_err(|e| Failure::source(&e))?
            }
        };
        let (rows, cut) = own.map(|own| (own.rows, own.cut)).unzip();
        let cut = cut.unwrap_or_default();
        let binned = rows.map(|rows| Binned {
            rows,
            has_rows: cut.iter().flat_map(|c| c.has_rows.clone()).collect(),
        });
        let counted = binned::count(session, binned, &shape, &mut stock, disclosure).await?;
        let features = match &counted.counts {
            Ok(counts) => {
                let known = told(session, (card, &cut), &counted, &shape).await?;
                features(of, card, &known, counts)?
            }
            Err(short) => return Err(too_small(of, card, short).into()),
        };
        let mine = cut.iter().filter_map(|c| features[c.feature].as_ref());
        let tells: Vec<f64> = mine.clone().map(BinnedFeature::information).collect();
        let tells = counted.rank(session, &tells, &shape).await?;
        let chosen = chosen(&tells, card)?;
        let weights: Vec<f64> = mine.flat_map(weights).collect();
        let weights = (&weights[..], &chosen[..]);
        let model = counted
            .fit(session, weights, &shape, course, &mut stock)
            .await?;
        let part = self.part((of, card), (&cut, &features, &chosen), &model);
        let Some(mut found) = model.released else {
            return Ok((None, part));
        };
        self.judge(of, &found)?;
        let features: Option<Vec<BinnedFeature>> = features.into_iter().collect();
        let features = features.ok_or_else(|| internal("a receiver learns all counts"))?;
        for (i, feature) in features.iter().enumerate() {
            let scale = if chosen[i] { greatest(feature) } else { 1.0 };
            found.coefficients[1 + i] /= scale;
            found.errors[1 + i] /= scale;
        }
        let table = result::carded(self.plan, (of, card), &found, (features, &chosen));
        let mut table = table.map_err(|e| result_failure(&e))?;
        if let (true, Some(fit), Some(part)) = (card.publishes, &mut table.fit, &part) {
            fit["published"] = json!({ "model": part.model, "contract": part.contract });
        }
        Ok((Some(table), part))
    }

    /// This holder's part of the model: bins, weights and points of its own features.
    fn part(
        &self,
        (of, card): (&VerticalPlan, &CardPlan),
        (cut, features, chosen): (&[Cut], &[Option<BinnedFeature>], &[bool]),
        model: &Model,
    ) -> Option<ModelPart> {
        if model.own.is_none() && model.released.is_none() {
            return None;
        }
        let contract = self.binding.contract;
        let id = [&contract.0[..], &self.binding.session_id()].concat();
        let party = &self.plan.seats[self.binding.me.index()];
        let id = Digest::of(&id).to_string();
        let mut part = ModelPart::new(id, &self.plan.job, contract, party.as_str());
        let scale = Points::of(&card.points);
        let released = model.released.as_ref();
        part.base_points = released.map(|r| scale.base(r.coefficients[0]));
        for (cut, own) in cut.iter().zip(model.own.iter().flatten()) {
            let Some(feature) = features[cut.feature]
                .as_ref()
                .filter(|_| chosen[cut.feature])
            else {
                continue;
            };
            let coefficient = own / greatest(feature);
            let label = &of.tables[of.features[cut.feature].0].label;
            let table = label
                .rsplit_once('.')
                .map_or(label.as_str(), |(table, _)| table);
            let levels = match &card.bins[cut.feature] {
                Bins::Levels(levels) => levels.clone(),
                Bins::Cuts(_) | Bins::Found(_) => Vec::new(),
            };
            let bin = |i: usize| PartBin {
                bin: feature.edges.label(i),
                bad: feature.counts[i].0 as u64,
                good: feature.counts[i].1 as u64,
                woe: feature.woe[i],
                points: scale.points(coefficient, feature.woe[i]),
            };
            part.features.push(PartFeature {
                table: table.to_owned(),
                feature: feature.name.clone(),
                coefficient,
                iv: feature.information(),
                cuts: feature.edges.cuts.clone(),
                closed: feature.edges.closed,
                special: feature.edges.special.clone(),
                levels,
                bins: (0..feature.counts.len()).map(bin).collect(),
            });
        }
        Some(part)
    }
}

/// Which features tell enough to be in the model.
fn chosen(tells: &[f64], card: &CardPlan) -> Result<Vec<bool>, Failure> {
    let iv_least = &card.points.iv_least;
    let least: f64 = iv_least.parse().unwrap_or(0.0);
    let tell = tells.iter().map(|iv| *iv >= least.max(LEAST_INFORMATION));
    let chosen: Vec<bool> = tell.collect();
    if chosen.contains(&true) {
        return Ok(chosen);
    }
    let what = format!("no feature has an information value of {iv_least} or more");
    let advice = "lower iv_least, or bring other features";
    Err(Failure::here(FailureClass::Data, what, advice))
}

/// The weights of a feature's bins in units of the greatest one.
fn weights(feature: &BinnedFeature) -> impl Iterator<Item = f64> {
    let scale = greatest(feature);
    let weigh = move |woe: f64| if scale > 0.0 { woe / scale } else { 0.0 };
    feature.counted_woe().into_iter().map(weigh)
}

/// The greatest weight of evidence, by which a feature's weights are divided.
fn greatest(feature: &BinnedFeature) -> f64 {
    feature
        .woe
        .iter()
        .fold(0.0, |most, woe| woe.abs().max(most))
}

/// Where the bins of features begin and end, as far as this party knows: those of its own, and at a receiver of a model that is
/// published all.
async fn told(
    session: &mut Session,
    (card, cut): (&CardPlan, &[Cut]),
    counted: &Counted,
    shape: &binned::Shape,
) -> Result<BTreeMap<usize, Vec<f64>>, Broken> {
    let own = cut.iter().map(|cut| (cut.feature, cut.cuts.clone()));
    let mut known: BTreeMap<usize, Vec<f64>> = own.collect();
    if card.publishes {
        let own: Vec<Vec<f64>> = cut.iter().map(|cut| cut.cuts.clone()).collect();
        let all = counted.edges(session, &own, shape).await?;
        known.extend(all.into_iter().flatten().enumerate());
    }
    Ok(known)
}

/// The features whose counts this holder learns. Where bins begin and end is known to the feature's holder alone.
fn features(
    of: &VerticalPlan,
    card: &CardPlan,
    known: &BTreeMap<usize, Vec<f64>>,
    counts: &Counts,
) -> Result<Vec<Option<BinnedFeature>>, Failure> {
    let [n_used, n_bad] = counts.totals;
    let learns_any = counts.bins.iter().any(Option::is_some);
    if learns_any && (n_bad == 0 || n_bad >= n_used) {
        let what = "all rows that are fitted have one label".to_owned();
        let advice = "bring rows with both labels";
        return Err(Failure::here(FailureClass::Data, what, advice));
    }
    let weighing = Weighing::of(&card.points);
    let features = counts.bins.iter().enumerate().map(|(feature, counts)| {
        let counts = counts.as_ref()?.iter();
        let counts: Vec<(f64, f64)> = counts
            .map(|[bad, good]| (*bad as f64, *good as f64))
            .collect();
        let cuts = known.get(&feature).cloned().unwrap_or_default();
        let bins = &card.bins[feature];
        let name = &of.features[feature].1;
        let edges = Edges {
            cuts,
            closed: card.points.conventions.closed,
            special: card.specials(feature),
            ..Edges::default()
        };
        // The last bins are those of special values and of missing ones.
        let n_apart = 1 + edges.special.len();
        let made = BinnedFeature::new(name, edges, counts, &weighing);
        let mut made = match (card.points.merging(), bins) {
            (Some(limits), Bins::Found(_)) => made.with_merged(limits, n_apart, &weighing),
            _ => made,
        };
        made.edges.levels = labels(bins, &made);
        Some(made)
    });
    Ok(features.collect())
}

/// The bins of a feature in words.
fn labels(bins: &Bins, feature: &BinnedFeature) -> Vec<String> {
    let n_bins = feature.counts.len();
    let edges = &feature.edges;
    let of = |bin: usize| {
        if let Some(apart) = apart(&edges.special, (bin, n_bins)) {
            return apart;
        }
        let first = feature.merged.iter().position(|of| *of == bin);
        let last = feature.merged.iter().rposition(|of| *of == bin);
        match first.zip(last) {
            // Only its holder knows where it begins and ends.
            Some((first, last)) if edges.cuts.is_empty() && n_bins > 2 + edges.special.len() => {
                match first == last {
                    true => format!("bin {}", first + 1),
                    false => format!("bins {} to {}", first + 1, last + 1),
                }
            }
            Some(_) => edges.closed.label(&edges.cuts, bin),
            None => label(bins, edges, bin),
        }
    };
    (0..n_bins).map(of).collect()
}

/// Of a bin behind those of other values, what it holds: a special value, or the last one missing ones.
fn apart(special: &[f64], (bin, n_bins): (usize, usize)) -> Option<String> {
    let place = (bin + 1 + special.len()).checked_sub(n_bins)?;
    Some(match special.get(place) {
        Some(special) => special.to_string(),
        None => "missing".to_owned(),
    })
}

/// A bin of values that are neither special nor missing, in words.
fn label(bins: &Bins, edges: &Edges, bin: usize) -> String {
    let listed: Vec<f64>;
    let cuts = match bins {
        Bins::Levels(levels) => return levels[bin].clone(),
        Bins::Cuts(texts) => {
            listed = texts.iter().filter_map(|t| t.parse().ok()).collect();
            &listed[..]
        }
        Bins::Found(_) => &edges.cuts[..],
    };
    if cuts.is_empty() {
        return format!("bin {}", bin + 1);
    }
    edges.closed.label(cuts, bin)
}

fn too_small(of: &VerticalPlan, card: &CardPlan, short: &Short) -> Failure {
    let mut parts = Vec::new();
    if short.rows {
        parts.push(format!(
            "fewer than {} rows in common are fitted",
            of.at_least
        ));
    }
    if !short.bins.is_empty() {
        let bins = short.bins.iter().map(|(feature, bin)| {
            let edges = Edges {
                closed: card.points.conventions.closed,
                ..Edges::default()
            };
            let place = (*bin, card.n_bins_of(*feature));
            let label = apart(&card.specials(*feature), place)
                .unwrap_or_else(|| label(&card.bins[*feature], &edges, *bin));
            format!("{} {label}", of.features[*feature].1)
        });
        let bins: Vec<String> = bins.collect();
        parts.push(format!(
            "fewer than {} rows in common are bad, or good, in {}",
            card.min_count,
            bins.join(", and in ")
        ));
    }
    let advice = "ask for fewer bins, list cuts, or let holders merge levels";
    Failure::here(FailureClass::Data, parts.join("; "), advice)
}

/// Different values of a feature, ascending.
fn levels(values: &[f64]) -> Vec<f64> {
    let mut levels: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
    levels.sort_by(f64::total_cmp);
    levels.dedup();
    levels
}

/// Values of a feature, of which those that have a bin each stand as missing.
fn ordinary(values: &[f64], special: &[f64]) -> Vec<f64> {
    let values = values.iter().copied();
    let kept = values.map(|v| if special.contains(&v) { f64::NAN } else { v });
    kept.collect()
}

/// Numbers of a table's features that are cut at quantiles of the rows in common, in order.
fn quantiled<'a>(
    of: &'a VerticalPlan,
    shape: &'a binned::Shape,
    (place, people): (usize, &'a People),
) -> impl Iterator<Item = Vec<f64>> {
    let own = (0..of.features.len()).filter(move |f| of.features[*f].0 == place);
    let numbers = own.zip(&people.numbers);
    let chosen = numbers.filter(|(feature, _)| shape.quantiled.contains(feature));
    let special = |feature| {
        of.card
            .as_ref()
            .map_or_else(Vec::new, |card| card.specials(feature))
    };
    chosen.map(move |(feature, values)| ordinary(values, &special(feature)))
}

/// The columns of the join in which quantiles are found: places of values in their order, and where there are any.
fn coded(of: &VerticalPlan, shape: &binned::Shape, own: &Own) -> Rows {
    let (people, n_rows) = (&own.people, own.rows.keys.len());
    let mut narrow = Vec::new();
    for values in quantiled(of, shape, (own.place, people)) {
        let levels = levels(&values);
        let code = |v: &f64| levels.partition_point(|level| level < v) as u64;
        narrow.push(
            values
                .iter()
                .map(|v| if v.is_nan() { 0 } else { code(v) })
                .collect(),
        );
        narrow.push(values.iter().map(|v| u64::from(!v.is_nan())).collect());
    }
    if of.label.0 == own.place {
        let rows = 0..people.items.len();
        let used = rows.map(|row| u64::from(is_used(of, own.place, people, row)));
        narrow.push(used.collect::<Vec<u64>>());
    }
    narrow
        .iter_mut()
        .for_each(|column| column.resize(n_rows, 0));
    Rows {
        keys: own.rows.keys.clone(),
        narrow,
        wide: Vec::new(),
    }
}

impl Own {
    /// The same rows with features cut at these quantiles.
    fn cut_at(mut self, of: &VerticalPlan, told: &[Quantiles]) -> Result<Self, SourceError> {
        let made = super::columns(of, self.place, &self.people, told)?;
        let n_rows = self.rows.keys.len();
        self.rows.narrow = made.narrow;
        let columns = self.rows.narrow.iter_mut();
        columns.for_each(|column| column.resize(n_rows, 0));
        self.cut = made.cut;
        Ok(self)
    }
}

/// Where a number is cut by its quantiles: equal cuts once, and none at the greatest value.
fn at_quantiles(values: &[f64], told: &Quantiles) -> Vec<f64> {
    let levels = levels(values);
    let n_parts = told.codes.len() as f64 + 1.0;
    let level = |code: u64| usize::try_from(code).ok().and_then(|code| levels.get(code));
    let cut = |(q, [low, high]): (usize, &[u64; 2])| {
        let low = *level(*low)?;
        // Beyond the last row there is none, and no part of the way to it.
        let high = level(*high).copied().unwrap_or(low);
        let rank = (told.n_rows - 1) as f64 * (q + 1) as f64 / n_parts;
        Some(between(low, high, rank.fract()))
    };
    if told.n_rows == 0 {
        return Vec::new();
    }
    let mut cuts: Vec<f64> = told.codes.iter().enumerate().filter_map(cut).collect();
    cuts.dedup();
    cuts
}

/// The table whose columns are made.
pub(super) struct Wanted<'a> {
    pub(super) of: &'a VerticalPlan,
    pub(super) card: &'a CardPlan,
    pub(super) place: usize,
}

/// A column of 0 and 1 for each bin of the features of a table. `told`: quantiles of the rows in common, once they are known.
pub(super) fn columns(
    wanted: &Wanted<'_>,
    (people, is_used): (&People, &dyn Fn(usize) -> bool),
    told: &[Quantiles],
) -> Result<(Vec<Vec<u64>>, Vec<Cut>), SourceError> {
    let Wanted { of, card, place } = *wanted;
    let mut told = told.iter();
    let names = of.features.iter().enumerate().filter(|(_, f)| f.0 == place);
    let (mut columns, mut cut) = (Vec::new(), Vec::new());
    for ((feature, (_, name)), values) in names.zip(&people.numbers) {
        let bins = &card.bins[feature];
        check_levels(values, bins, (&of.tables[place].label, name))?;
        let special = card.specials(feature);
        let closed = card.points.conventions.closed;
        let others = ordinary(values, &special);
        let seen = others
            .iter()
            .enumerate()
            .filter(|(row, v)| is_used(*row) && !v.is_nan());
        let cuts = match bins {
            Bins::Levels(_) => Vec::new(),
            Bins::Cuts(cuts) => cuts.iter().filter_map(|c| c.parse().ok()).collect(),
            Bins::Found(_) if card.method == Cutting::EqualFrequencyInCommon => told
                .next()
                .map_or_else(Vec::new, |told| at_quantiles(&others, told)),
            Bins::Found(n) => found(seen.map(|(_, v)| *v).collect(), *n, (card.method, closed)),
        };
        let n_bins = card.n_bins_of(feature);
        let mut of_this = vec![vec![0u64; values.len()]; n_bins];
        for (row, value) in values.iter().enumerate() {
            let place = special.iter().position(|special| special == value);
            let bin = match (bins, place) {
                _ if value.is_nan() => n_bins - 1,
                (_, Some(place)) => n_bins - 1 - special.len() + place,
                (Bins::Levels(_), None) => *value as usize,
                (Bins::Cuts(_) | Bins::Found(_), None) => closed.bin(&cuts, *value),
            };
            of_this[bin][row] = 1;
        }
        cut.push(Cut {
            feature,
            cuts,
            has_rows: of_this.iter().map(|bin| bin.contains(&1)).collect(),
        });
        columns.extend(of_this);
    }
    Ok((columns, cut))
}

/// Where a number is cut into so many bins: equal cuts once, and none at the greatest value, or at the least where bins are
/// closed below.
fn found(mut values: Vec<f64>, n_bins: u64, (method, closed): (Cutting, Closed)) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    let (Some(least), Some(most)) = (values.first().copied(), values.last().copied()) else {
        return Vec::new();
    };
    let cut = |i: u64| {
        let part = i as f64 / n_bins as f64;
        match method {
            Cutting::EqualWidth => between(least, most, part),
            Cutting::EqualFrequency | Cutting::EqualFrequencyInCommon => {
                let place = (values.len() - 1) as f64 * part;
                let low = values[place as usize];
                let high = values.get(place as usize + 1).copied().unwrap_or(low);
                between(low, high, place.fract())
            }
        }
    };
    let mut cuts: Vec<f64> = (1..n_bins).map(cut).collect();
    cuts.dedup();
    cuts.retain(|cut| match closed {
        Closed::Right => *cut < most,
        Closed::Left => *cut > least,
    });
    cuts
}
