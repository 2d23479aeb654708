//! Plans written by hand, so that a fault of the planner cannot hide one of what is tested here.

use std::collections::BTreeMap;

use party_agent::local::{LocalInputs, StepInput, totals};
use party_agent::manifest::Manifest;
use party_agent::plan::{
    CellCheck, KeyColumn, LocalPlan, Measure, MeasureKind, MinCell, OutputColumn, Plan, PlanCost,
    Procedure, RangeOrigin, Release, ReleaseRule, Released as Value, ReleasedColumn, RingWidth,
    Shape, Slot, Step, TableColumn, ValueKind, ValueRange, Which,
};
use party_agent::result::{ResultTable, table, table_of_groups};
use party_agent::source::{Source, SourceError};
use protocols::aggregate::{CellRule, Check, LocalTotals, ReleaseShape, Released};
use protocols::oracle;
use protocols::party::{PartyId, Seat};
use protocols::stats::{group, rank, select};

/// What to aggregate of one argument.
pub(crate) struct Arg {
    pub(crate) label: &'static str,
    pub(crate) kind: MeasureKind,
    pub(crate) range: (String, String),
    pub(crate) ring: RingWidth,
    /// Fractional bits of sum and squares.
    pub(crate) frac_bits: (u32, u32),
    pub(crate) squares: bool,
}

impl Arg {
    pub(crate) fn exact(label: &'static str, scale: i8, low: i128, high: i128) -> Self {
        Self {
            label,
            kind: MeasureKind::Exact { scale },
            range: (low.to_string(), high.to_string()),
            ring: RingWidth::Wide,
            frac_bits: (0, 0),
            squares: true,
        }
    }

    pub(crate) fn float(label: &'static str, low: f64, high: f64, sum: u32, squares: u32) -> Self {
        Self {
            label,
            kind: MeasureKind::Float,
            range: (low.to_string(), high.to_string()),
            ring: RingWidth::Wide,
            frac_bits: (sum, squares),
            squares: true,
        }
    }

    pub(crate) fn counted(label: &'static str) -> Self {
        let range = (String::new(), String::new());
        Self {
            label,
            kind: MeasureKind::Counted,
            range,
            ring: RingWidth::Narrow,
            frac_bits: (0, 0),
            squares: false,
        }
    }

    pub(crate) fn narrow(self) -> Self {
        Self {
            ring: RingWidth::Narrow,
            ..self
        }
    }

    pub(crate) fn without_squares(self) -> Self {
        Self {
            squares: false,
            ..self
        }
    }
}

pub(crate) fn party(name: &str) -> PartyId {
    name.parse().expect("a valid name")
}

/// A text key.
pub(crate) fn key(name: &str, domain: &[Option<&str>], has_other: bool) -> KeyColumn {
    typed_key(name, ValueKind::Text, domain, has_other)
}

pub(crate) fn typed_key(
    name: &str,
    kind: ValueKind,
    domain: &[Option<&str>],
    has_other: bool,
) -> KeyColumn {
    KeyColumn {
        name: name.to_owned(),
        kind,
        domain: domain.iter().map(|d| d.map(str::to_owned)).collect(),
        has_other,
        // As the planner does: a value of the domain never shares its name with the slot `other`.
        other_label: if domain.contains(&Some("other")) {
            "(other)".to_owned()
        } else {
            "other".to_owned()
        },
        source: "the test".to_owned(),
        has_total: false,
        hidden: None,
        codes: 0,
    }
}

/// The check that the minimum cell makes.
pub(crate) fn min_cell(at_least: u64) -> CellCheck {
    CellCheck {
        column: 0,
        at_least,
        bound_bits: 40,
        rule: format!("COUNT(*) >= {at_least}"),
        reason: "min_cell".to_owned(),
    }
}

/// A plan over these holders' queries. Its result has every key, `n` and every statistic of every argument.
pub(crate) fn plan(
    holders: &[(&str, &str)],
    keys: Vec<KeyColumn>,
    args: Vec<Arg>,
    checks: Vec<CellCheck>,
) -> Plan {
    let mut shape = Shape {
        compared: 0,
        cells: keys.iter().map(KeyColumn::n_slots).product(),
        narrow: 1,
        wide: 0,
        rule: if checks.is_empty() {
            ReleaseRule::None
        } else {
            ReleaseRule::Compare
        },
        checks,
        top: None,
        margins: None,
        hidden: None,
    };
    let n_args = args.len();
    let measures: Vec<_> = args
        .into_iter()
        .enumerate()
        .map(|(i, arg)| measure(i, arg, &mut shape))
        .collect();
    let released = released_columns(&keys, &measures);
    let names = released
        .iter()
        .filter(|c| !matches!(c.value, Value::Ordinal(_)));
    let outputs: Vec<_> = names
        .map(|c| OutputColumn {
            name: c.name.clone(),
            kind: c.kind,
        })
        .collect();
    let select = outputs
        .iter()
        .map(|o| o.name.as_str())
        .collect::<Vec<_>>()
        .join(", ");
    let order: Vec<_> = (0..keys.len()).map(|i| format!("o{i}")).collect();
    let order = if order.is_empty() {
        String::new()
    } else {
        format!(" ORDER BY {}", order.join(", "))
    };
    let local = |sql: &str| LocalPlan {
        sql: sql.to_owned(),
        tables: vec!["t".to_owned()],
        uses: Vec::new(),
        args: (0..n_args)
            .map(|i| {
                vec![TableColumn {
                    table: "t".to_owned(),
                    column: format!("column_{i}"),
                }]
            })
            .collect(),
        rows_at_most: 1 << 21,
    };
    Plan {
        format: 1,
        engine: "test".to_owned(),
        job: "test".to_owned(),
        purpose: "test".to_owned(),
        spec: String::new(),
        seats: holders.iter().map(|(name, _)| party(name)).collect(),
        dealer: None,
        receivers: vec![party(holders[0].0)],
        correlations: None,
        min_cell: MinCell {
            at_least: 0,
            set_by: Vec::new(),
        },
        max_wall_s: None,
        rounding: None,
        noise: None,
        cohorts: None,
        dominance: None,
        having: Vec::new(),
        settlement: None,
        meter: None,
        locals: holders
            .iter()
            .map(|(name, sql)| (party(name), local(sql)))
            .collect::<BTreeMap<_, _>>(),
        procedure: Procedure::Totals,
        manifest: Manifest::of(&Procedure::Totals).digest(),
        keys,
        measures,
        shape,
        steps: Vec::new(),
        released,
        final_sql: format!("SELECT {select} FROM released{order}"),
        statistic: None,
        outputs,
        learns: Vec::new(),
        warnings: Vec::new(),
        notes: Vec::new(),
        commitments: BTreeMap::new(),
        class: None,
        cost: PlanCost::default(),
    }
}

fn measure(index: usize, arg: Arg, shape: &mut Shape) -> Measure {
    let count = shape.narrow;
    shape.narrow += 1;
    let mut slot = |frac_bits| {
        let columns = match arg.ring {
            RingWidth::Narrow => &mut shape.narrow,
            RingWidth::Wide => &mut shape.wide,
        };
        *columns += 1;
        Slot {
            ring: arg.ring,
            index: *columns - 1,
            frac_bits,
            scale: 0,
        }
    };
    let sum = (arg.kind != MeasureKind::Counted).then(|| slot(arg.frac_bits.0));
    let sum_sq = arg.squares.then(|| slot(arg.frac_bits.1));
    Measure {
        arg: index,
        label: arg.label.to_owned(),
        kind: arg.kind,
        range: ValueRange {
            low: arg.range.0,
            high: arg.range.1,
            origin: RangeOrigin::Declared,
        },
        count,
        sum,
        sum_sq,
    }
}

fn released_columns(keys: &[KeyColumn], measures: &[Measure]) -> Vec<ReleasedColumn> {
    let column = |name: String, kind, value| ReleasedColumn { name, kind, value };
    let mut columns = Vec::new();
    for (i, key) in keys.iter().enumerate() {
        let kind = if key.has_other {
            ValueKind::Text
        } else {
            key.kind
        };
        columns.push(column(format!("k{i}"), kind, Value::Key(i)));
        columns.push(column(format!("o{i}"), ValueKind::Int, Value::Ordinal(i)));
    }
    columns.push(column("n".to_owned(), ValueKind::Int, Value::Rows));
    for (i, m) in measures.iter().enumerate() {
        columns.push(column(format!("n{i}"), ValueKind::Int, Value::Count(i)));
        let sum_kind = match m.kind {
            MeasureKind::Counted | MeasureKind::Distinct | MeasureKind::Day => continue,
            MeasureKind::Exact { scale } => ValueKind::Decimal {
                precision: 38,
                scale,
            },
            MeasureKind::Float => ValueKind::Float,
        };
        columns.push(column(format!("s{i}"), sum_kind, Value::Sum(i)));
        columns.push(column(format!("avg{i}"), ValueKind::Float, Value::Avg(i)));
        if m.sum_sq.is_none() {
            continue;
        }
        for (name, sample) in [("samp", true), ("pop", false)] {
            columns.push(column(
                format!("var_{name}{i}"),
                ValueKind::Float,
                Value::Var { measure: i, sample },
            ));
            columns.push(column(
                format!("stddev_{name}{i}"),
                ValueKind::Float,
                Value::StdDev { measure: i, sample },
            ));
        }
    }
    columns
}

/// One holder's totals.
pub(crate) async fn local(
    plan: &Plan,
    name: &str,
    source: &Source,
) -> Result<LocalTotals, SourceError> {
    totals(plan, &party(name), source, &|_| {})
        .await
        .map(|(inputs, _)| inputs.totals)
}

/// All holders' totals, with what the steps find among the first holder's.
pub(crate) fn with_steps(plan: &Plan, mut inputs: Vec<LocalInputs>) -> Vec<LocalTotals> {
    let setting = plan.setting();
    let cells = setting.cells;
    for (i, step) in plan.steps.iter().enumerate() {
        let parts: Vec<_> = inputs.iter().map(|input| &input.steps[i]).collect();
        let mut narrow = Vec::new();
        let mut wide = Vec::new();
        match step {
            Step::Distinct { column, .. } => {
                let keys = parts.iter().flat_map(|part| match part {
                    StepInput::Keys(keys) => keys.as_slice(),
                    _ => &[],
                });
                let all: std::collections::BTreeSet<(u32, u128)> = keys.copied().collect();
                let of_cell = |cell| all.iter().filter(|(c, _)| *c as usize == cell).count() as u64;
                narrow.push((*column, (0..cells).map(of_cell).collect()));
            }
            // Found by whoever has the join's rows.
            Step::Ranked { .. } | Step::Different { .. } | Step::JointRanks { .. } => {}
            Step::RankCorrelation { column, .. } => {
                let shape = step.rank_shape(&setting).expect("a ranking");
                let rows = parts.iter().map(|part| match part {
                    StepInput::Pairs(rows) => rank::RankInput { rows: rows.clone() },
                    _ => panic!("pairs"),
                });
                let sums = rank::oracle(&rows.collect::<Vec<_>>(), &shape);
                narrow.extend(sums.into_iter().enumerate().map(|(k, s)| (column + k, s)));
            }
            Step::Sorted { finds, .. } => {
                let shape = step.select_shape(&setting).expect("a selection");
                let rows = parts.iter().map(|part| match part {
                    StepInput::Values(rows) => select::SelectInput { rows: rows.clone() },
                    _ => panic!("values"),
                });
                let found = select::oracle(&rows.collect::<Vec<_>>(), &shape);
                for (find, values) in finds.iter().zip(found) {
                    match find.slot.ring {
                        RingWidth::Wide => wide.push((find.slot.index, values)),
                        RingWidth::Narrow => {
                            let values = values.into_iter().map(|v| v as u64).collect();
                            narrow.push((find.slot.index, values));
                        }
                    }
                }
            }
            Step::Extremes { finds, .. } | Step::Quantiles { finds, .. } => {
                for (place, find) in finds.iter().enumerate() {
                    let value = |cell| {
                        let found = find_in_the_clear(&parts, cells, place, cell, find.what);
                        match (step, find.what) {
                            (Step::Quantiles { n_values, .. }, Which::Greatest) => {
                                n_values - 1 - found
                            }
                            _ => found,
                        }
                    };
                    narrow.push((find.slot.index, (0..cells).map(value).collect()));
                }
            }
        }
        let totals = &mut inputs[0].totals;
        narrow
            .into_iter()
            .for_each(|(column, values)| totals.narrow[column] = values);
        wide.into_iter()
            .for_each(|(column, values)| totals.wide[column] = values);
    }
    inputs.into_iter().map(|input| input.totals).collect()
}

/// One value by sorting; the protocols count.
fn find_in_the_clear(
    parts: &[&StepInput],
    cells: usize,
    place: usize,
    cell: usize,
    what: Which,
) -> u64 {
    let mut codes = Vec::new();
    for part in parts {
        match part {
            StepInput::Extremes(least) => codes.extend(least[place * cells + cell]),
            StepInput::Histogram(counts) => {
                let of_cell = counts.chunks(counts.len() / cells).nth(cell);
                for (code, n) in of_cell.into_iter().flatten().enumerate() {
                    codes.extend((0..*n).map(|_| code as u64));
                }
            }
            _ => {}
        }
    }
    codes.sort_unstable();
    let n = codes.len() as u64;
    let at = |place: u64| codes.get(place as usize).copied().unwrap_or(0);
    match what {
        // Of a histogram, the last value.
        Which::Greatest if matches!(parts.first(), Some(StepInput::Histogram(_))) => {
            at(n.saturating_sub(1))
        }
        // Extremes are least distances; for the greatest, from the top.
        Which::Least | Which::Greatest => at(0),
        Which::Discrete(p) => at((n * p.numerator).div_ceil(p.denominator).saturating_sub(1)),
        Which::Linear(p) => {
            let h = n.saturating_sub(1) * p.numerator;
            let (whole, rest) = (h / p.denominator, h % p.denominator);
            let (low, high) = (at(whole), at(whole + u64::from(rest > 0)));
            low * p.denominator + rest * (high - low)
        }
        Which::Below(_) | Which::Above(_) => panic!("found among sorted rows"),
    }
}

/// What would be released if everything were added in the clear.
pub(crate) fn release(plan: &Plan, inputs: &[LocalTotals]) -> Released {
    let shape = ReleaseShape {
        cells: plan.shape.cells,
        narrow: plan.shape.narrow,
        compared: plan.shape.compared,
        wide: plan.shape.wide,
        checks: plan
            .shape
            .checks
            .iter()
            .map(|c| Check {
                column: c.column,
                at_least: c.at_least,
                bound_bits: c.bound_bits,
            })
            .collect(),
        receivers: vec![Seat(0)],
        mode: match plan.margins() {
            Some(margins) if plan.protects_margins() => CellRule::Margins(margins),
            _ if plan.shape.checks.is_empty() => CellRule::None,
            _ => CellRule::Compare,
        },
    };
    let inputs = inputs.iter().enumerate().map(|(seat, own)| {
        let (narrow, wide) = (own.narrow.clone(), own.wide.clone());
        let mut totals = LocalTotals { narrow, wide };
        plan.compare_totals(seat == 0, &mut totals);
        totals
    });
    let inputs: Vec<LocalTotals> = inputs.collect();
    let mut released = oracle::release(&inputs, &shape);
    if let Some(rounding) = &plan.rounding {
        let m = rounding.multiple;
        let counts = released.narrow.iter_mut().flatten();
        counts.for_each(|n| *n = (*n + m / 2) / m * m);
    }
    released
}

/// The whole way, with the sums taken in the clear.
pub(crate) async fn run(plan: &Plan, holders: &[(&str, &Source)]) -> ResultTable {
    let mut inputs = Vec::new();
    for (name, source) in holders {
        let local = totals(plan, &party(name), source, &|_| {}).await;
        inputs.push(local.expect("local totals").0);
    }
    let result = match plan.release() {
        Release::Groups(shape) => {
            let rows = inputs.into_iter().map(own_groups).collect::<Vec<_>>();
            table_of_groups(plan, &group::oracle(&rows, &shape)).await
        }
        _ => table(plan, &release(plan, &with_steps(plan, inputs))).await,
    };
    result.expect("a result")
}

fn own_groups(mut inputs: LocalInputs) -> group::GroupRows {
    let keys = inputs.groups.take().expect("groups that are not public");
    group::GroupRows {
        hashes: keys.hashes.clone(),
        keys: keys.words.clone(),
        narrow: inputs.totals.narrow.clone(),
        wide: inputs.totals.wide.clone(),
    }
}

/// The result as rows of JSON values, with numbers as their exact text.
pub(crate) fn rows(result: &ResultTable) -> Vec<BTreeMap<String, String>> {
    let document: serde_json::Value = serde_json::from_str(&result.to_json()).expect("valid JSON");
    let rows = document["rows"].as_array().expect("rows").len();
    // Reparsed as raw text, because a JSON library may turn a decimal into a double.
    #[derive(serde::Deserialize)]
    struct Raw<'a> {
        #[serde(borrow)]
        rows: Vec<Vec<&'a serde_json::value::RawValue>>,
    }
    let text = result.to_json();
    let raw: Raw<'_> = serde_json::from_str(&text).expect("valid JSON");
    assert_eq!(rows, raw.rows.len());
    let names: Vec<_> = result.columns.iter().map(|c| c.name.clone()).collect();
    let row = |cells: Vec<&serde_json::value::RawValue>| {
        names
            .iter()
            .cloned()
            .zip(cells.into_iter().map(|c| c.get().to_owned()))
            .collect()
    };
    raw.rows.into_iter().map(row).collect()
}

/// A proptest runner from a printed seed; `ENTENTE_SEED` replaces it.
pub(crate) fn runner(cases: u32) -> proptest::test_runner::TestRunner {
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
    let seed: u64 = std::env::var("ENTENTE_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(0x5EED_2026);
    println!("ENTENTE_SEED={seed}");
    let mut bytes = [0u8; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}
