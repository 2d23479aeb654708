//! Plans that join tables of several holders, run in the clear against plain SQL over all tables pooled.

use std::collections::BTreeMap;

use party_agent::local::{GroupKeys, Joined, LocalInputs, joined};
use party_agent::plan::{
    ComputedPlan, ComputedValue, Contributions, CorrelatedPlan, JoinPlan, JoinSizes, JointPair,
    MeasureKind, Plan, Procedure, RankedPlan, Release, Step, Which,
};
use party_agent::source::SourceError;
use protocols::aggregate::LocalTotals;
use protocols::join::largest::LargestShape;
use protocols::join::met::MetShape;
use protocols::join::{Factor, Inputs, Rows, Shape};
use protocols::psi::Item;
use protocols::psi::keys::{KeyHash, Normalise};
use protocols::stats::different;
use protocols::stats::group::coded::{self, CodedTotals};
use protocols::stats::rank::{self, RankInput, RankShape};
use protocols::stats::weighted;

use super::super::plans;
use super::fixture::party;
use super::oracle::World;

/// What the protocol makes of its inputs, key by key.
fn totals(shape: &Shape, inputs: &[Vec<Inputs>]) -> (Vec<Vec<u64>>, Vec<Vec<u128>>) {
    let rows = |at: usize| -> BTreeMap<Item, Vec<(usize, usize)>> {
        let mut rows: BTreeMap<Item, Vec<(usize, usize)>> = BTreeMap::new();
        for (holder, input) in inputs[at].iter().enumerate() {
            for (row, key) in input.rows.keys.iter().enumerate() {
                rows.entry(*key).or_default().push((holder, row));
            }
        }
        rows
    };
    let all: Vec<_> = (0..shape.relations.len()).map(rows).collect();
    let value = |at: usize, key: &Item, cell: usize, factor: &Factor| -> u128 {
        let relation = &shape.relations[at];
        let found = all[at].get(key).map_or(&[][..], Vec::as_slice);
        let of = |(h, r): &(usize, usize), c: usize| {
            inputs[at][*h].narrow((c, cell, relation.cells), *r)
        };
        match *factor {
            Factor::Flag(c) => u128::from(found.iter().any(|own| of(own, c) != 0)),
            Factor::Unflagged(c) => u128::from(!found.iter().any(|own| of(own, c) != 0)),
            Factor::Narrow(c) => {
                let values = found.iter().map(|own| of(own, relation.flags + c));
                u128::from(values.fold(0u64, u64::wrapping_add))
            }
            Factor::Wide(c) => {
                let of =
                    |(h, r): &(usize, usize)| inputs[at][*h].wide((c, cell, relation.cells), *r);
                found.iter().map(of).fold(0u128, u128::wrapping_add)
            }
            Factor::Matched { cell: only } => u128::from(only == cell && !found.is_empty()),
            Factor::One { cell: only } => u128::from(only == cell),
            Factor::Any => 1,
        }
    };
    let is_below = |at: usize, key: &Item| {
        let compared = &shape.compared[at];
        let parts = compared.parts.iter().map(|(at, column, weight)| {
            let cells = 0..shape.relations[*at].cells;
            let cells = cells.map(|cell| value(*at, key, cell, &Factor::Narrow(*column)) as u64);
            let sum = cells.fold(0, u64::wrapping_add);
            sum.wrapping_mul(weight.cast_unsigned())
        });
        let sum = parts.fold(compared.constant.cast_unsigned(), u64::wrapping_add);
        sum.cast_signed() < 0
    };
    let n_cells = shape.n_cells();
    let column = |terms: &[protocols::join::Term]| -> Vec<u128> {
        let of_cell = |cell: usize| {
            let own = shape.cells_of(cell);
            let mut sum = 0u128;
            for term in terms {
                for key in all[0].keys() {
                    if !term.below.iter().all(|at| is_below(*at, key)) {
                        continue;
                    }
                    let product =
                        term.factors
                            .iter()
                            .enumerate()
                            .fold(1u128, |product, (at, factor)| {
                                product.wrapping_mul(value(at, key, own[at], factor))
                            });
                    sum = sum.wrapping_add(
                        product.wrapping_mul(i128::from(term.coefficient).cast_unsigned()),
                    );
                }
            }
            sum
        };
        (0..n_cells).map(of_cell).collect()
    };
    let narrow = shape
        .narrow
        .iter()
        .map(|t| column(t).into_iter().map(|v| v as u64).collect());
    (
        narrow.collect(),
        shape.wide.iter().map(|t| column(t)).collect(),
    )
}

/// All holders' totals added up, as one holder's; what a holder finds in its rows can refuse the job.
pub(crate) async fn in_the_clear(world: &World, plan: &Plan) -> Result<LocalTotals, SourceError> {
    Ok(with_keys(world, plan).await?.0)
}

/// The same, and what every holder brings of the keys of groups that nobody lists.
async fn with_keys(
    world: &World,
    plan: &Plan,
) -> Result<(LocalTotals, Vec<Option<GroupKeys>>), SourceError> {
    let Procedure::Join(of) = &plan.procedure else {
        panic!("a join");
    };
    let mut parts: Vec<Vec<Joined>> = Vec::new();
    for relation in &of.relations {
        let mut holders = Vec::new();
        for (seat, _) in &relation.holders {
            let name = &plan.seats[*seat];
            let source = world.sources.iter().find(|(n, _)| party(n) == *name);
            let source = &source.expect("a holder").1;
            let rule = Normalise::named(&of.normalise).expect("a rule");
            let hash = KeyHash::new(&[7; 32], &of.label, rule);
            let read = joined(plan, relation, name, source, &hash, &|_| {}).await;
            holders.push(read?);
        }
        parts.push(holders);
    }
    let holders = parts.iter().flatten().enumerate();
    let keys = holders.map(|(at, joined)| GroupKeys::of_cells(plan, joined.coded(), at == 0));
    let keys: Vec<Option<GroupKeys>> = keys.collect();
    let mut all = of.zeros(&plan.shape);
    let sizes = JoinSizes {
        keys: parts
            .iter()
            .map(|p| p.iter().map(Joined::n_keys).collect())
            .collect(),
        groups_a_key: parts
            .iter()
            .map(|p| p.iter().map(Joined::groups_a_key).collect())
            .collect(),
    };
    // What is told of a key's groups says no more than their order of magnitude.
    for (told, groups) in sizes.groups_a_key.iter().zip(of.groups(&plan.keys)) {
        let is_rounded = |n: &usize| n.is_power_of_two() || *n == groups;
        assert!(told.iter().all(is_rounded), "{told:?} of {groups}");
    }
    // Any hub that will do gives the same; here the last one.
    let hub = of.n_hubs() - 1;
    let (of, sizes) = (&of.with_hub(hub, &plan.keys), sizes.with_hub(hub));
    parts[..=hub].rotate_right(1);
    let groups = of.groups(&plan.keys);
    for star in 0..of.n_stars() {
        let of_relation = |(place, holders): (usize, &Vec<Joined>)| {
            let mine = holders.iter().enumerate().map(|(holder, joined)| {
                let brought = of.brings(place, holder, star)?;
                Some(joined.inputs(&brought, &[], (place, holder) == (0, star)))
            });
            mine.collect::<Vec<Option<Inputs>>>()
        };
        let mut inputs: Vec<Vec<Inputs>> = Vec::new();
        let mut earlier = Vec::new();
        for (place, mut mine) in parts.iter().enumerate().map(of_relation).enumerate() {
            if place == 0 {
                earlier = mine.drain(..star).flatten().collect();
            }
            inputs.push(mine.into_iter().flatten().collect());
        }
        inputs.push(earlier);
        let (narrow, wide) = totals(&of.star(star, &sizes, &groups, false), &inputs);
        let narrow: Vec<&[u64]> = narrow.iter().map(Vec::as_slice).collect();
        let wide: Vec<&[u128]> = wide.iter().map(Vec::as_slice).collect();
        of.add_star(&mut all, &narrow, &wide);
    }
    for term in &of.own {
        for holder in &parts[term.relation] {
            let own = holder.own(term.column, term.keyless);
            of.add_own(&mut all, term, (&own, &groups));
        }
    }
    if let Some(met) = &of.met {
        let shape = met.shape(&sizes, &plan.keys, false);
        assert!((1..=63).contains(&shape.rows_bits), "{}", shape.rows_bits);
        let counted = counted(&shape, &met.join, &parts);
        let counted: Vec<&[u64]> = counted.iter().map(Vec::as_slice).collect();
        met.put(&mut all, &counted);
    }
    of.spread_matched(&mut all);
    let contributions = of.dominant.as_ref().map(|dominant| {
        let shape = dominant.shape(&sizes, &plan.keys, false);
        (dominant, contributed(&shape, &dominant.join, &parts))
    });
    let found = plans::with_steps(plan, vec![LocalInputs::of_join(plan, of, all)]);
    let mut found = found.into_iter().next().expect("one holder's totals");
    if let (Some((dominant, all)), Some(rules)) = (&contributions, &plan.dominance) {
        let all = all.iter();
        let all = all.map(|(total, largest)| {
            (
                total.as_slice(),
                largest.iter().map(Vec::as_slice).collect(),
            )
        });
        let all: Vec<Contributions<'_>> = all.collect();
        dominant.put(rules, &mut found, (&all, true));
    }
    let mut different: BTreeMap<usize, (&RankedPlan, Vec<_>)> = BTreeMap::new();
    for ranked in &of.ranked {
        let rows = ranked_rows(plan, (of, ranked), &sizes, &parts);
        match plan.measures[ranked.measure].kind {
            // Rows of one measure can be in several parts.
            MeasureKind::Distinct => {
                let all = different.entry(ranked.measure);
                all.or_insert((ranked, Vec::new())).1.extend(rows);
            }
            _ => {
                let rows = rows.into_iter().map(|(g, value, n)| (g, value as u64, n));
                let rows: Vec<_> = rows.collect();
                find_among(plan, (ranked.measure, &ranked.join), &rows, &mut found);
            }
        }
    }
    for (ranked, rows) in different.values() {
        count_among(plan, ranked, rows, &mut found);
    }
    for correlated in &of.correlated {
        correlate_among(plan, (of, correlated), (&sizes, &parts), &mut found);
    }
    if let Some(computed) = &of.computed {
        rank_among(plan, computed, (&sizes, &parts), &mut found);
        for value in &computed.values {
            let (rows, squares) = computed_rows(plan, (computed, value), &sizes, &parts);
            if value.ordered {
                find_among(plan, (value.measure, &computed.join), &rows, &mut found);
            }
            if let Some(column) = value.squares {
                let cells = computed.join.cells.iter().flatten();
                found.narrow[column] = cells.map(|at| squares[*at]).collect();
            }
        }
    }
    Ok((found, keys))
}

/// Group and value of each row of a ranked argument, and how often it counts in each group of the others: one row after
/// the other joined as if it were alone.
fn ranked_rows(
    plan: &Plan,
    (of, ranked): (&JoinPlan, &RankedPlan),
    sizes: &JoinSizes,
    parts: &[Vec<Joined>],
) -> Vec<(u32, u128, Vec<u64>)> {
    let (places, sizes) = (ranked.places(of), ranked.sizes(of, sizes));
    let own = ranked.own(&plan.keys);
    let mut rows = Vec::new();
    for (star, hub) in parts[places[0]].iter().enumerate() {
        let shape = ranked.weights(star, &sizes, (&plan.keys, false)).join;
        let (values, keys) = (hub.different(ranked.arg), hub.ordered(ranked.arg).1);
        for ((group, value), key) in values.iter().zip(keys) {
            let alone = |key: u32| {
                let keys = vec![hub.keys(&[])[key as usize]];
                let own = Inputs::from(Rows::of_keys(keys));
                let inputs = with_spokes(own, (&ranked.join, star), (&places, parts));
                totals(&shape, &inputs).0.swap_remove(0)
            };
            let matched = key.map_or_else(|| vec![0; own.len()], alone);
            let without = own.iter().map(|[keyed, keyless]| match key {
                Some(_) => *keyed,
                None => *keyless,
            });
            let both = matched.iter().zip(without);
            let weights = both.map(|(matched, without)| matched.wrapping_add(without));
            rows.push((*group, *value, weights.collect()));
        }
    }
    rows
}

/// Ranks of columns of one relation, of whose rows each counts as often as it is joined.
fn correlate_among(
    plan: &Plan,
    (of, correlated): (&JoinPlan, &CorrelatedPlan),
    (sizes, parts): (&JoinSizes, &[Vec<Joined>]),
    totals: &mut LocalTotals,
) {
    let weights = &correlated.weights;
    let rows = ranked_rows(plan, (of, weights), sizes, parts);
    let holders = &parts[weights.places(of)[0]];
    let value_of = |measure: usize, row: usize| {
        let mut values = correlated.values.iter();
        match values.position(|(m, _)| *m == measure).expect("a value") {
            0 => rows[row].1 as u64,
            at => {
                let beside = holders.iter().flat_map(|h| &h.beside(weights.arg)[at - 1]);
                *beside
                    .copied()
                    .collect::<Vec<u64>>()
                    .get(row)
                    .expect("a row")
            }
        }
    };
    let (own, others) = correlated.groups(&plan.keys);
    for step in &plan.steps {
        let Step::JointRanks { items, pairs, .. } = step else {
            continue;
        };
        let is_its = |pair: &&JointPair| items[pair.items[0]].count == weights.measure;
        for pair in pairs.iter().filter(is_its) {
            let mut all = Vec::new();
            for (row, (group, _, counts)) in rows.iter().enumerate() {
                let (y, x) = (value_of(pair.y, row), value_of(pair.x, row));
                for (other, n) in counts.iter().enumerate() {
                    let cell = *group * others as u32 + other as u32;
                    all.extend(std::iter::repeat_n((cell, y, x), *n as usize));
                }
            }
            let shape = RankShape {
                rows: vec![all.len()],
                cells: own * others,
                x_bits: 64,
                y_bits: 64,
            };
            let sums = rank::oracle(&[RankInput { rows: all }], &shape);
            for (place, sums) in sums.iter().enumerate() {
                let cells = weights.join.cells.iter().flatten();
                totals.narrow[pair.column + place] = cells.map(|at| sums[*at]).collect();
            }
        }
    }
}

/// The different values of a ranked argument that count.
fn count_among(
    plan: &Plan,
    ranked: &RankedPlan,
    rows: &[(u32, u128, Vec<u64>)],
    totals: &mut LocalTotals,
) {
    let is_its = |step: &&Step| matches!(step, Step::Different { measure, .. } if *measure == ranked.measure);
    let step = plan.steps.iter().find(is_its).expect("a step");
    let shape = step.different_shape(&plan.setting()).expect("a count");
    shape.check().expect("a shape that the protocol takes");
    assert!(
        rows.iter().all(|row| row.1 >> shape.bits == 0),
        "values fit"
    );
    let counts = different::oracle(rows, &shape);
    if let Step::Different { column, .. } = step {
        let cells = ranked.join.cells.iter().flatten();
        totals.narrow[*column] = cells.map(|at| counts[*at]).collect();
    }
}

/// One row of the hub, and all that the others bring to its star.
fn with_spokes(
    own: Inputs,
    (join, star): (&JoinPlan, usize),
    (places, parts): (&[usize], &[Vec<Joined>]),
) -> Vec<Vec<Inputs>> {
    let mut inputs = vec![vec![own]];
    for (place, at) in places.iter().enumerate().skip(1) {
        let holders = parts[*at].iter().enumerate();
        let brought = holders.map(|(holder, joined)| {
            let brought = join.brings(place, holder, star);
            joined.inputs(&brought.expect("a spoke"), &[], false)
        });
        inputs.push(brought.collect());
    }
    inputs
}

/// One row of the hub, as if it were alone.
fn alone(all: &Inputs, row: usize) -> Inputs {
    let only = |columns: &[Vec<u64>]| columns.iter().map(|c| vec![c[row]]).collect();
    let slots = all.slots.as_ref();
    let slots = slots.map(|slots| slots.iter().map(|s| vec![s[row]]).collect::<Vec<_>>());
    Inputs {
        rows: Rows {
            keys: vec![all.rows.keys[row]],
            narrow: only(&all.rows.narrow),
            wide: Vec::new(),
        },
        slots: slots.map(Into::into),
    }
}

/// In each group the keys for which an output is not 0.
fn counted(shape: &MetShape, join: &JoinPlan, parts: &[Vec<Joined>]) -> Vec<Vec<u64>> {
    let places: Vec<usize> = (0..parts.len()).collect();
    let brought = join.brings(0, 0, 0).expect("the hub");
    let all = parts[0][0].inputs(&brought, &[], true);
    let mut found = vec![vec![0; shape.join.n_cells()]; shape.join.narrow.len()];
    for row in 0..all.rows.keys.len() {
        let inputs = with_spokes(alone(&all, row), (join, 0), (&places, parts));
        let rows = totals(&shape.join, &inputs).0;
        for (counts, rows) in found.iter_mut().zip(rows) {
            for (count, rows) in counts.iter_mut().zip(rows) {
                assert!(rows >> shape.rows_bits == 0, "{rows} rows of a key");
                *count += u64::from(rows > 0);
            }
        }
    }
    found
}

/// For each output the sum of what keys add to each cell in magnitude, and the largest of these.
fn contributed(
    shape: &LargestShape,
    join: &JoinPlan,
    parts: &[Vec<Joined>],
) -> Vec<(Vec<u64>, Vec<Vec<u64>>)> {
    let places: Vec<usize> = (0..parts.len()).collect();
    let brought = join.brings(0, 0, 0).expect("the hub");
    let all = parts[0][0].inputs(&brought, &[], true);
    let cells = shape.join.n_cells();
    let mut added = vec![vec![Vec::new(); cells]; shape.join.narrow.len()];
    for row in 0..all.rows.keys.len() {
        let inputs = with_spokes(alone(&all, row), (join, 0), (&places, parts));
        for (added, numbers) in added.iter_mut().zip(totals(&shape.join, &inputs).0) {
            for (added, number) in added.iter_mut().zip(numbers) {
                let magnitude = number.cast_signed().unsigned_abs();
                assert!(shape.signed || magnitude == number, "{number}");
                assert!(magnitude >> shape.bound_bits == 0, "{magnitude}");
                added.push(magnitude);
            }
        }
    }
    let of_output = |mut cells: Vec<Vec<u64>>| {
        cells
            .iter_mut()
            .for_each(|c| c.sort_unstable_by(|a, b| b.cmp(a)));
        let rank = |rank: usize| {
            cells
                .iter()
                .map(|c| c.get(rank).copied().unwrap_or(0))
                .collect()
        };
        let largest = (0..shape.n_largest).map(rank).collect();
        (cells.iter().map(|c| c.iter().sum()).collect(), largest)
    };
    added.into_iter().map(of_output).collect()
}

/// Ranks of numbers that are computed row by row.
fn rank_among(
    plan: &Plan,
    of: &ComputedPlan,
    (sizes, parts): (&JoinSizes, &[Vec<Joined>]),
    totals: &mut LocalTotals,
) {
    let rows_of = |measure: usize| {
        let value = of.values.iter().find(|v| v.measure == measure);
        computed_rows(plan, (of, value.expect("a value")), sizes, parts).0
    };
    for step in &plan.steps {
        let Step::JointRanks { items, pairs, .. } = step else {
            continue;
        };
        for pair in pairs {
            let [y, x] = pair.items.map(|item| rows_of(items[item].measure));
            let counts = rows_of(items[pair.items[0]].count);
            let n_cells = counts.first().map_or(1, |row| row.2.len());
            let mut rows = Vec::new();
            for ((y, x), count) in y.iter().zip(&x).zip(&counts) {
                for (group, n) in count.2.iter().enumerate() {
                    let row = (group as u32, y.1, x.1);
                    rows.extend(std::iter::repeat_n(row, *n as usize));
                }
            }
            let shape = RankShape {
                rows: vec![rows.len()],
                cells: n_cells,
                x_bits: 64,
                y_bits: 64,
            };
            let sums = rank::oracle(&[RankInput { rows }], &shape);
            for (place, sums) in sums.iter().enumerate() {
                let cells = of.join.cells.iter().flatten();
                totals.narrow[pair.column + place] = cells.map(|at| sums[*at]).collect();
            }
        }
    }
}

/// The value of each row of an argument that is computed row by row, and how often it counts in each group: one row of the
/// hub after the other joined as if it were alone. And the sum of the values' squares in each group.
fn computed_rows(
    plan: &Plan,
    (of, value): (&ComputedPlan, &ComputedValue),
    sizes: &JoinSizes,
    parts: &[Vec<Joined>],
) -> (Vec<(u32, u64, Vec<u64>)>, Vec<u64>) {
    let shape = of.shape(sizes, &plan.keys, false);
    let places: Vec<usize> = (0..parts.len()).collect();
    let brought = of.join.brings(0, 0, 0).expect("the hub");
    let all = parts[0][0].inputs(&brought, &[], true);
    let mut squares = vec![0u64; shape.n_cells()];
    let mut rows = Vec::new();
    for row in 0..all.rows.keys.len() {
        let inputs = with_spokes(alone(&all, row), (&of.join, 0), (&places, parts));
        let found = totals(&shape, &inputs).0;
        for found in found.chunks(found.len() / of.rows_a_key) {
            for (sum, v) in squares.iter_mut().zip(&found[value.value]) {
                *sum = sum.wrapping_add(v.wrapping_mul(*v));
            }
            let values = found[value.value].iter();
            let sum = values.fold(0u64, |s, v| s.wrapping_add(*v));
            let distance = sum.wrapping_sub(value.low.cast_unsigned());
            rows.push((0, distance, found[value.count].clone()));
        }
    }
    (rows, squares)
}

fn find_among(
    plan: &Plan,
    (measure, join): (usize, &JoinPlan),
    rows: &[(u32, u64, Vec<u64>)],
    totals: &mut LocalTotals,
) {
    let is_its = |step: &&Step| matches!(step, Step::Ranked { measure: of, .. } if *of == measure);
    let step = plan.steps.iter().find(is_its).expect("a step");
    let shape = step.weighted_shape(&plan.setting()).expect("a search");
    let found = weighted::oracle(rows, &shape);
    let span = plan.measures[measure].span();
    for (find, values) in step.finds().iter().zip(found) {
        let of_cell = |at: &usize| match find.what {
            Which::Greatest => span - values[*at],
            _ => values[*at],
        };
        let cells = join.cells.iter().flatten();
        totals.narrow[find.slot.index] = cells.map(of_cell).collect();
    }
}

/// The result of a plan with a join.
pub(crate) async fn run(
    world: &World,
    plan: &Plan,
) -> Result<party_agent::result::ResultTable, SourceError> {
    let (totals, keys) = with_keys(world, plan).await?;
    if let Release::Coded(shape) = plan.release() {
        let mut totals = Some(totals);
        let inputs = keys.iter().flatten().map(|keys| {
            let zeros = |n: usize| vec![vec![0; shape.cells]; n];
            let totals = totals.take();
            CodedTotals {
                keys: keys.words.clone(),
                narrow: (totals.as_ref()).map_or_else(|| zeros(shape.narrow), |t| t.narrow.clone()),
                wide: totals.map_or_else(
                    || vec![vec![0; shape.cells]; shape.wide],
                    |t| t.wide.clone(),
                ),
            }
        });
        let groups = coded::oracle(&inputs.collect::<Vec<_>>(), &shape);
        let table = party_agent::result::table_of_groups(plan, &groups).await;
        return Ok(table.expect("a result"));
    }
    let released = plans::release(plan, &[totals]);
    let table = party_agent::result::table(plan, &released).await;
    Ok(table.expect("a result"))
}
