//! Which steps a job takes, and whether it may.

use std::collections::BTreeMap;

use protocols::party::PartyId;
use serde::Serialize;

use super::{Found, Fraction, RANK_COLUMNS, Setting, Step, Which};
use crate::plan::part::Part;
use crate::plan::sql::outer::Outer;
use crate::plan::words::counted;
use crate::plan::{Measure, MeasureKind, PlanFault, Released, RingWidth, Slot};

/// Most values of one argument whose rows are counted one by one.
const MAX_VALUES: u64 = 1 << 16;
/// Most comparisons of one step.
const MAX_COMPARISONS: u64 = 1 << 22;
/// Most rows over all holders that are in order and searched.
const MAX_RANKED_ROWS: u64 = 1 << 22;
/// Most rows over all holders, filled up, that are merged or sorted; where groups are filled up too, times their number.
const MAX_SORTED_ROWS: u64 = 1 << 20;

/// The published bound on every seat's rows; 0 for a seat without tables.
pub(in crate::plan) struct RowBounds(Vec<u64>);

impl RowBounds {
    pub(in crate::plan) fn of(seats: &[PartyId], parts: &[Part]) -> Self {
        let of_seat = |seat: &PartyId| {
            let part = parts.iter().find(|p| p.holder == *seat);
            part.map_or(0, |p| p.rows_at_most)
        };
        Self(seats.iter().map(of_seat).collect())
    }

    fn total(&self) -> u64 {
        self.0.iter().fold(0, |n, r| n.saturating_add(*r))
    }
}

/// The rows of a join's relation that are put in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RankedRows {
    /// Of each holder how many there may be; what it has less is filled up.
    pub rows: Vec<u64>,
    /// Groups of their own.
    pub groups: usize,
    /// Groups of the other relations.
    pub others: usize,
    /// Whether their values are shares, in any order.
    pub shared: bool,
}

/// Numbers of rows, as the protocols take them.
pub(super) fn sizes(rows: &[u64]) -> Vec<usize> {
    let size = |n: &u64| usize::try_from(*n).expect("under 2^20 rows");
    rows.iter().map(size).collect()
}

/// Gives out the columns that steps fill.
pub(in crate::plan) struct Columns<'a> {
    pub(in crate::plan) narrow: &'a mut usize,
    pub(in crate::plan) wide: &'a mut usize,
}

impl Columns<'_> {
    fn slot(&mut self, ring: RingWidth) -> Slot {
        let next = match ring {
            RingWidth::Narrow => &mut *self.narrow,
            RingWidth::Wide => &mut *self.wide,
        };
        *next += 1;
        Slot {
            ring,
            index: *next - 1,
            frac_bits: 0,
            scale: 0,
        }
    }
}

/// What the outputs use that is found on shares.
#[derive(Default)]
struct Wanted {
    extremes: Vec<(usize, bool)>,
    quantiles: BTreeMap<usize, Levels>,
    ranked: Vec<(usize, usize)>,
    distinct: Vec<usize>,
}

/// Levels of PERCENTILE_DISC and of PERCENTILE_CONT, and MIN and MAX where these are found as quantiles.
#[derive(Default)]
struct Levels {
    extremes: Vec<Which>,
    discrete: Vec<Fraction>,
    linear: Vec<Fraction>,
}

impl Wanted {
    fn of(outer: &Outer) -> Self {
        let mut wanted = Self::default();
        for value in outer.released.values() {
            match *value {
                Released::Extreme { measure, greatest } => {
                    wanted.extremes.push((measure, greatest));
                }
                Released::Distinct(measure) => wanted.distinct.push(measure),
                Released::Spearman { y, x } => wanted.ranked.push((y, x)),
                Released::Quantile {
                    measure,
                    p,
                    continuous,
                } => {
                    let levels = wanted.quantiles.entry(measure).or_default();
                    match continuous {
                        true => levels.linear.push(p),
                        false => levels.discrete.push(p),
                    }
                }
                _ => {}
            }
        }
        wanted.extremes.sort_unstable();
        wanted.ranked.sort_unstable();
        wanted.distinct.sort_unstable();
        wanted
    }
}

/// The steps for what the outputs use, with their columns.
///
/// # Errors
/// Arguments with too many values for a search, and too many rows.
pub(in crate::plan) fn build(
    outer: &Outer,
    measures: &[Measure],
    setting: &Setting,
    bounds: &RowBounds,
    mut columns: Columns<'_>,
) -> Result<Vec<Step>, Vec<PlanFault>> {
    let wanted = Wanted::of(outer);
    let mut faults = Vec::new();
    let mut steps: Vec<Step> = extremes_step(&wanted.extremes, measures, &mut columns)
        .into_iter()
        .collect();
    for (measure, levels) in wanted.quantiles {
        match quantile_steps(&measures[measure], &levels, setting, bounds, &mut columns) {
            Ok(found) => steps.extend(found),
            Err(fault) => faults.push(fault),
        }
    }
    let fits = |cells: usize| bounds.total().saturating_mul(cells as u64) <= MAX_SORTED_ROWS;
    for (y, x) in wanted.ranked {
        if !fits(setting.cells) {
            let what = format!("ranks of {}", measures[y].label);
            faults.push(too_many_rows(&what, bounds.total(), setting.cells));
            continue;
        }
        // Rows are merged by the first and sorted by the second, which is dear for wide values.
        let bits = |m: usize| measures[m].code_bits();
        let (y, x) = if bits(y) < bits(x) { (x, y) } else { (y, x) };
        steps.push(Step::RankCorrelation {
            y,
            x,
            bits: [bits(y), bits(x)],
            rows: bounds.0.clone(),
            column: columns.slot(RingWidth::Narrow).index,
        });
        // The first of its columns is taken; these are the others.
        *columns.narrow += RANK_COLUMNS - 1;
    }
    for measure in wanted.distinct {
        if !fits(1) {
            let what = format!("the different values of {}", measures[measure].label);
            faults.push(too_many_rows(&what, bounds.total(), 1));
            continue;
        }
        steps.push(Step::Distinct {
            measure,
            rows: bounds.0.clone(),
            column: columns.slot(RingWidth::Narrow).index,
        });
    }
    if faults.is_empty() {
        Ok(steps)
    } else {
        Err(faults)
    }
}

/// The steps for what the outputs use where the rows of each value are counted on shares already, by a join, or the rows
/// of a measure are put in order.
///
/// # Errors
/// Too many values and groups for a search.
pub(in crate::plan) fn of_counts(
    outer: &Outer,
    (measures, ranked): (&[Measure], &BTreeMap<usize, RankedRows>),
    setting: &Setting,
    mut columns: Columns<'_>,
) -> Result<Vec<Step>, Vec<PlanFault>> {
    let mut wanted = Wanted::of(outer);
    for (measure, greatest) in wanted.extremes {
        let levels = wanted.quantiles.entry(measure).or_default();
        levels.extremes.push(Which::extreme(greatest));
    }
    let (mut steps, mut faults) = (Vec::new(), Vec::new());
    for (measure, levels) in wanted.quantiles {
        let found = match ranked.get(&measure) {
            Some(rows) => ranked_step(&measures[measure], &levels, (rows, setting), &mut columns)
                .map(|step| vec![step]),
            None => counted_steps(&measures[measure], &levels, setting, &mut columns),
        };
        match found {
            Ok(found) => steps.extend(found),
            Err(fault) => faults.push(fault),
        }
    }
    match faults.is_empty() {
        true => Ok(steps),
        false => Err(faults),
    }
}

fn counted_steps(
    measure: &Measure,
    levels: &Levels,
    setting: &Setting,
    columns: &mut Columns<'_>,
) -> Result<Vec<Step>, PlanFault> {
    let n_levels = levels.extremes.len() + levels.discrete.len() + 2 * levels.linear.len();
    let n_values = measure.n_values().unwrap_or(u64::MAX);
    let n_compared = n_values.saturating_mul((setting.cells * n_levels) as u64);
    if n_compared > MAX_COMPARISONS {
        return Err(PlanFault {
            place: "compute.sql".to_owned(),
            what: format!(
                "MIN, MAX or quantiles of {} would be found among {} in each of {}",
                measure.label,
                counted(n_values, "value"),
                counted(setting.cells as u64, "group")
            ),
            fix: "group by fewer keys, or declare a shorter range in the policy".to_owned(),
        });
    }
    histogram_steps(measure, n_values, levels, setting, columns)
}

/// One step for all levels of a measure whose rows are in order.
fn ranked_step(
    measure: &Measure,
    levels: &Levels,
    (rows, setting): (&RankedRows, &Setting),
    columns: &mut Columns<'_>,
) -> Result<Step, PlanFault> {
    let total = rows.rows.iter().fold(0u64, |n, r| n.saturating_add(*r));
    let n_levels = levels.extremes.len() + levels.discrete.len() + 2 * levels.linear.len();
    let n_searches = (n_levels * setting.cells) as u64;
    let n_compared = 2 * n_searches * total.isqrt().max(1);
    if total > MAX_RANKED_ROWS || n_compared > MAX_COMPARISONS {
        let what = format!("MIN, MAX or quantiles of {}", measure.label);
        let mut fault = too_many_rows(&what, total, setting.cells);
        fault.what = format!(
            "{what} would be found among {total} rows, by the published sizes of the tables, by {n_searches} searches: at most {MAX_RANKED_ROWS} can be, with {MAX_COMPARISONS} comparisons"
        );
        return Err(fault);
    }
    let extremes = levels.extremes.iter().copied();
    let step = Step::Ranked {
        measure: measure.arg,
        bits: measure.code_bits(),
        of: rows.clone(),
        finds: extremes
            .chain(in_order(measure, levels))
            .map(|what| Found {
                measure: measure.arg,
                what,
                slot: columns.slot(RingWidth::Narrow),
            })
            .collect(),
    };
    let shape = step.weighted_shape(setting);
    match shape.map(|shape| shape.check()) {
        Some(Ok(())) => Ok(step),
        _ => Err(PlanFault {
            place: "compute.sql".to_owned(),
            what: format!(
                "quantiles of {} between two rows do not fit 64 bits, by its range",
                measure.label
            ),
            fix: "write CASE WHEN x BETWEEN 0 AND 1000000 THEN x END, declare a range in the policy, or take PERCENTILE_DISC".to_owned(),
        }),
    }
}

/// A step for the different values of a measure over a join.
///
/// # Errors
/// Too many rows, times groups of others.
pub(in crate::plan) fn different_step(
    measure: &Measure,
    of: &RankedRows,
    column: usize,
) -> Result<Step, PlanFault> {
    let total = of.rows.iter().fold(0u64, |n, r| n.saturating_add(*r));
    if total.saturating_mul(of.others as u64) > MAX_RANKED_ROWS {
        let what = format!("the different values of {}", measure.label);
        let mut fault = too_many_rows(&what, total, of.others);
        fault.what = format!(
            "{what} would be counted among {total} rows, by the published sizes of the tables, in each of {} of other tables: at most {MAX_RANKED_ROWS} can be in all",
            counted(of.others as u64, "group")
        );
        return Err(fault);
    }
    Ok(Step::Different {
        measure: measure.arg,
        of: of.clone(),
        column,
    })
}

/// One step for all least and greatest values.
fn extremes_step(
    extremes: &[(usize, bool)],
    measures: &[Measure],
    columns: &mut Columns<'_>,
) -> Option<Step> {
    let bits = extremes
        .iter()
        .map(|(m, _)| measures[*m].code_bits())
        .max()?;
    let find = |&(measure, greatest): &(usize, bool)| Found {
        measure,
        what: Which::extreme(greatest),
        slot: columns.slot(RingWidth::Narrow),
    };
    let finds = extremes.iter().map(find).collect();
    Some(Step::Extremes { bits, finds })
}

/// The steps for all levels of a measure: whichever of two ways compares less.
fn quantile_steps(
    measure: &Measure,
    levels: &Levels,
    setting: &Setting,
    bounds: &RowBounds,
    columns: &mut Columns<'_>,
) -> Result<Vec<Step>, PlanFault> {
    let n_cells = setting.cells as u64;
    let n_levels = (levels.discrete.len() + 2 * levels.linear.len()) as u64;
    let counted_values = measure.n_values().filter(|n| *n <= MAX_VALUES);
    let walked = counted_values.map(|n| n.saturating_mul(n_cells).saturating_mul(n_levels));
    let walked = walked.filter(|n| *n <= MAX_COMPARISONS);
    let n_rows = bounds.total().saturating_mul(n_cells);
    let merged = (n_rows <= MAX_SORTED_ROWS).then(|| n_rows / 2 * u64::from(n_rows.max(2).ilog2()));
    match (counted_values, walked, merged) {
        (Some(n_values), Some(walked), merged) if merged.is_none_or(|m| walked <= m) => {
            histogram_steps(measure, n_values, levels, setting, columns)
        }
        (_, _, Some(_)) => Ok(vec![sorted_step(measure, levels, bounds, columns)]),
        _ => Err(too_many_values(measure, setting.cells, bounds.total())),
    }
}

/// A step for the quantiles of each type.
fn histogram_steps(
    measure: &Measure,
    n_values: u64,
    levels: &Levels,
    setting: &Setting,
    columns: &mut Columns<'_>,
) -> Result<Vec<Step>, PlanFault> {
    let mut steps = Vec::new();
    let discrete = levels.discrete.iter().map(|p| Which::Discrete(*p));
    let discrete: Vec<Which> = levels.extremes.iter().copied().chain(discrete).collect();
    let linear = levels.linear.iter().map(|p| Which::Linear(*p)).collect();
    for (linear, wanted) in [(false, discrete), (true, linear)] {
        if wanted.is_empty() {
            continue;
        }
        let find = |what: Which| Found {
            measure: measure.arg,
            what,
            slot: columns.slot(RingWidth::Narrow),
        };
        let step = Step::Quantiles {
            measure: measure.arg,
            n_values,
            linear,
            finds: wanted.into_iter().map(find).collect(),
        };
        let shape = step.quantile_shape(setting);
        match shape.map(|shape| shape.check::<u64>()) {
            Some(Ok(())) => steps.push(step),
            _ => return Err(too_fine(measure, setting.rows_at_most)),
        }
    }
    Ok(steps)
}

/// One step for all levels.
fn sorted_step(
    measure: &Measure,
    levels: &Levels,
    bounds: &RowBounds,
    columns: &mut Columns<'_>,
) -> Step {
    let bits = measure.code_bits();
    let is_float = measure.kind == MeasureKind::Float;
    // A multiple of a value by the denominator.
    let scale = levels
        .linear
        .iter()
        .map(|p| 64 - (p.denominator - 1).leading_zeros());
    let ring = match scale.max() {
        Some(scale) if !is_float && bits + scale > 64 => RingWidth::Wide,
        _ => RingWidth::Narrow,
    };
    let find = |what| Found {
        measure: measure.arg,
        what,
        slot: columns.slot(ring),
    };
    Step::Sorted {
        measure: measure.arg,
        bits,
        rows: bounds.0.clone(),
        finds: in_order(measure, levels).map(find).collect(),
    }
}

/// What is found among rows in order. Doubles are not as far apart as their codes, so for them both neighbours are.
fn in_order(measure: &Measure, levels: &Levels) -> impl Iterator<Item = Which> {
    let is_float = measure.kind == MeasureKind::Float;
    let discrete = levels.discrete.iter().map(|p| Which::Discrete(*p));
    let linear = levels.linear.iter().flat_map(move |p| match is_float {
        true => vec![Which::Below(*p), Which::Above(*p)],
        false => vec![Which::Linear(*p)],
    });
    discrete.chain(linear)
}

fn too_fine(measure: &Measure, rows: u64) -> PlanFault {
    PlanFault {
        place: "compute.sql".to_owned(),
        what: format!(
            "ranks of a quantile of {} among {rows} rows, by the published sizes of the tables, do not fit 64 bits",
            measure.label
        ),
        fix: "write the quantile with fewer decimals, or use smaller tables".to_owned(),
    }
}

fn too_many_rows(what: &str, rows: u64, cells: usize) -> PlanFault {
    let groups = match cells {
        1 => String::new(),
        n => format!(" in each of {}", counted(n as u64, "group")),
    };
    PlanFault {
        place: "compute.sql".to_owned(),
        what: format!(
            "{what} would be found among {rows} rows{groups}, by the published sizes of the tables, and at most {MAX_SORTED_ROWS} can be in all"
        ),
        fix: "write max_rows in [compute] if no holder's part has as many, group by fewer keys, or use smaller tables".to_owned(),
    }
}

fn too_many_values(measure: &Measure, cells: usize, rows: u64) -> PlanFault {
    let values = match measure.n_values() {
        Some(n) => counted(n, "value"),
        None => "all values of its type".to_owned(),
    };
    let mut fault = too_many_rows(&format!("a quantile of {}", measure.label), rows, cells);
    fault.what.push_str(&format!(
        ", and among {values} it cannot be found by counting"
    ));
    fault.fix.push_str(
        ", or declare a shorter range in the policy, or CAST the argument to fewer decimals",
    );
    fault
}
