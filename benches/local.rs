//! A holder's own part of a job, after its rows are decoded: from Arrow batches to totals by group.
//!
//! Ids: `local/<kind>/rows=N`. Ten argument columns, twenty groups, one thread.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringViewArray,
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use party_agent::catalogue::ColumnKind;
use party_agent::local::totals;
use party_agent::manifest::Manifest;
use party_agent::plan::{
    KeyColumn, LocalPlan, Measure, MeasureKind, MinCell, Plan, PlanCost, Procedure, RangeOrigin,
    ReleaseRule, RingWidth, Shape, Slot, ValueKind, ValueRange,
};
use party_agent::source::{DataSource, Source, SourceColumn, schema_of};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const SEED: u64 = 0x10CA_2026;
const N_COLUMNS: usize = 10;
const N_GROUPS: usize = 20;
const BATCH_ROWS: usize = 8192;

/// What the argument columns hold.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Sums of integers.
    Int,
    /// Sums and sums of squares of integers, a fifth of them NULL.
    IntVar,
    /// Sums and sums of squares of money.
    DecimalVar,
    /// Sums and sums of squares of doubles.
    FloatVar,
}

#[derive(Debug)]
struct Memory {
    columns: Vec<SourceColumn>,
    batches: Vec<RecordBatch>,
}

impl DataSource for Memory {
    fn columns(&self) -> &[SourceColumn] {
        &self.columns
    }

    fn provider(&self) -> Arc<dyn TableProvider> {
        let table = MemTable::try_new(schema_of(&self.columns), vec![self.batches.clone()]);
        Arc::new(table.expect("one schema"))
    }

    fn origin(&self) -> String {
        "memory".to_owned()
    }
}

fn batch(rng: &mut StdRng, kind: Kind) -> RecordBatch {
    let mut columns: Vec<(String, ArrayRef)> = Vec::new();
    let groups = (0..BATCH_ROWS).map(|_| format!("group {:02}", rng.random_range(0..N_GROUPS)));
    columns.push((
        "g".to_owned(),
        Arc::new(StringViewArray::from_iter_values(groups)),
    ));
    for i in 0..N_COLUMNS {
        let mut ints = (0..BATCH_ROWS)
            .map(|_| rng.random_range(-1_000_000..1_000_000i64))
            .collect::<Vec<_>>();
        let values: ArrayRef = match kind {
            Kind::Int => Arc::new(Int64Array::from(std::mem::take(&mut ints))),
            Kind::IntVar => Arc::new(
                ints.iter()
                    .map(|v| (v % 5 != 0).then_some(*v))
                    .collect::<Int64Array>(),
            ),
            Kind::DecimalVar => {
                let cents = Decimal128Array::from_iter_values(ints.iter().copied().map(i128::from));
                Arc::new(cents.with_precision_and_scale(12, 2).expect("12 digits"))
            }
            Kind::FloatVar => Arc::new(Float64Array::from_iter_values(
                ints.iter().map(|v| *v as f64 / 7.0),
            )),
        };
        columns.push((format!("c{i}"), values));
    }
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, v)| (n, v, true)))
        .expect("one length")
}

fn source(n_rows: usize, kind: Kind) -> Source {
    let mut rng = StdRng::seed_from_u64(SEED);
    // Distinct batches, so that large tables do not stay in a cache.
    let mut batches: Vec<_> = (0..n_rows.div_ceil(BATCH_ROWS))
        .map(|_| batch(&mut rng, kind))
        .collect();
    let surplus = batches.len() * BATCH_ROWS - n_rows;
    if let Some(last) = batches.last_mut() {
        *last = last.slice(0, BATCH_ROWS - surplus);
    }
    let schema = batches[0].schema();
    let columns = schema.fields().iter().map(|f| SourceColumn {
        name: f.name().clone(),
        kind: ColumnKind::of(f.data_type()),
        nullable: true,
    });
    let memory = Memory {
        columns: columns.collect(),
        batches,
    };
    let mut source = Source::empty();
    source.insert("t", Arc::new(memory));
    source
}

#[expect(clippy::too_many_lines, reason = "one plan, written out")]
fn plan(kind: Kind) -> Plan {
    let squares = kind != Kind::Int;
    let columns_a_measure = 1 + usize::from(squares);
    let measure = |i: usize| Measure {
        arg: i,
        label: format!("c{i}"),
        kind: match kind {
            Kind::Int | Kind::IntVar => MeasureKind::Exact { scale: 0 },
            Kind::DecimalVar => MeasureKind::Exact { scale: 2 },
            Kind::FloatVar => MeasureKind::Float,
        },
        range: ValueRange {
            low: "-1048576".to_owned(),
            high: "1048576".to_owned(),
            origin: RangeOrigin::Declared,
        },
        count: 1 + i,
        sum: Some(Slot {
            ring: RingWidth::Wide,
            index: columns_a_measure * i,
            frac_bits: 40,
            scale: 0,
        }),
        sum_sq: squares.then_some(Slot {
            ring: RingWidth::Wide,
            index: columns_a_measure * i + 1,
            frac_bits: 40,
            scale: 0,
        }),
    };
    let select: Vec<_> = (0..N_COLUMNS).map(|i| format!("c{i} AS a{i}")).collect();
    let local = LocalPlan {
        sql: format!("SELECT g AS k0, {} FROM party.t", select.join(", ")),
        tables: vec!["t".to_owned()],
        uses: Vec::new(),
        args: Vec::new(),
        rows_at_most: 1 << 30,
    };
    let holder: protocols::party::PartyId = "holder".parse().expect("a valid name");
    let shape = Shape {
        compared: 0,
        cells: N_GROUPS + 1,
        narrow: 1 + N_COLUMNS,
        wide: columns_a_measure * N_COLUMNS,
        checks: Vec::new(),
        rule: ReleaseRule::None,
        top: None,
        margins: None,
        hidden: None,
    };
    let key = KeyColumn {
        name: "g".to_owned(),
        kind: ValueKind::Text,
        domain: (0..N_GROUPS)
            .map(|g| Some(format!("group {g:02}")))
            .collect(),
        has_other: true,
        other_label: "other".to_owned(),
        source: String::new(),
        has_total: false,
        hidden: None,
        codes: 0,
    };
    Plan {
        format: 1,
        engine: String::new(),
        job: String::new(),
        purpose: String::new(),
        spec: String::new(),
        seats: vec![holder.clone()],
        dealer: None,
        receivers: Vec::new(),
        correlations: None,
        min_cell: MinCell {
            at_least: 0,
            set_by: Vec::new(),
        },
        noise: None,
        cohorts: None,
        dominance: None,
        having: Vec::new(),
        settlement: None,
        meter: None,
        max_wall_s: None,
        rounding: None,
        locals: [(holder, local)].into(),
        procedure: Procedure::Totals,
        manifest: Manifest::of(&Procedure::Totals).digest(),
        keys: vec![key],
        measures: (0..N_COLUMNS).map(measure).collect(),
        shape,
        steps: Vec::new(),
        released: Vec::new(),
        final_sql: String::new(),
        statistic: None,
        outputs: Vec::new(),
        learns: Vec::new(),
        warnings: Vec::new(),
        notes: Vec::new(),
        commitments: [].into(),
        class: None,
        cost: PlanCost::default(),
    }
}

fn local(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let me = "holder".parse().expect("a valid name");
    let kinds = [
        ("int", Kind::Int),
        ("int_var", Kind::IntVar),
        ("decimal_var", Kind::DecimalVar),
        ("float_var", Kind::FloatVar),
    ];
    for (name, kind) in kinds {
        let plan = plan(kind);
        let mut group = criterion.benchmark_group(format!("local/{name}"));
        group.sample_size(10);
        for n_rows in [10_000, 100_000, 1_000_000] {
            let source = source(n_rows, kind);
            group.throughput(Throughput::Elements((n_rows * N_COLUMNS) as u64));
            group.bench_function(
                BenchmarkId::from_parameter(format!("rows={n_rows}")),
                |bencher| {
                    bencher.iter(|| {
                        runtime
                            .block_on(totals(&plan, &me, &source, &|_| {}))
                            .expect("totals")
                    });
                },
            );
        }
        group.finish();
    }
}

criterion_group!(benches, local);
criterion_main!(benches);
