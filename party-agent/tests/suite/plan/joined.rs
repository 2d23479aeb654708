//! Plans that join tables of several holders, run in the clear against plain SQL over all tables pooled.

use std::collections::BTreeMap;

use party_agent::local::{Joined, LocalInputs, joined};
use party_agent::plan::{JoinPlan, JoinSizes, Plan, Procedure, RankedPlan, Step, Which};
use party_agent::source::SourceError;
use protocols::aggregate::LocalTotals;
use protocols::join::{Factor, Inputs, Rows, Shape};
use protocols::psi::Item;
use protocols::psi::keys::{KeyHash, Normalise};
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
    of.spread_matched(&mut all);
    let found = plans::with_steps(plan, vec![LocalInputs::of_join(plan, of, all)]);
    let mut found = found.into_iter().next().expect("one holder's totals");
    for ranked in &of.ranked {
        let rows = ranked_rows(plan, (of, ranked), &sizes, &parts);
        find_among(plan, ranked, &rows, &mut found);
    }
    Ok(found)
}

/// Group and value of each row of a ranked argument, and how often it counts in each group of the others: one row after
/// the other joined as if it were alone.
fn ranked_rows(
    plan: &Plan,
    (of, ranked): (&JoinPlan, &RankedPlan),
    sizes: &JoinSizes,
    parts: &[Vec<Joined>],
) -> Vec<(u32, u64, Vec<u64>)> {
    let (places, sizes) = (ranked.places(of), ranked.sizes(of, sizes));
    let own = ranked.own(&plan.keys);
    let mut rows = Vec::new();
    for (star, hub) in parts[places[0]].iter().enumerate() {
        let shape = ranked.weights(star, &sizes, (&plan.keys, false)).join;
        let (values, keys) = hub.ordered(ranked.arg);
        for ((group, value), key) in values.iter().zip(keys) {
            let alone = |key: u32| {
                let keys = vec![hub.keys(&[])[key as usize]];
                let mut inputs = vec![vec![Inputs::from(Rows::of_keys(keys))]];
                for (place, at) in places.iter().enumerate().skip(1) {
                    let holders = parts[*at].iter().enumerate();
                    let brought = holders.map(|(holder, joined)| {
                        let brought = ranked.join.brings(place, holder, star);
                        joined.inputs(&brought.expect("a spoke"), &[], false)
                    });
                    inputs.push(brought.collect());
                }
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

fn find_among(
    plan: &Plan,
    ranked: &RankedPlan,
    rows: &[(u32, u64, Vec<u64>)],
    totals: &mut LocalTotals,
) {
    let is_its =
        |step: &&Step| matches!(step, Step::Ranked { measure, .. } if *measure == ranked.measure);
    let step = plan.steps.iter().find(is_its).expect("a step");
    let shape = step.weighted_shape(&plan.setting()).expect("a search");
    let found = weighted::oracle(rows, &shape);
    let span = plan.measures[ranked.measure].span();
    for (find, values) in step.finds().iter().zip(found) {
        let of_cell = |at: &usize| match find.what {
            Which::Greatest => span - values[*at],
            _ => values[*at],
        };
        let cells = ranked.join.cells.iter().flatten();
        totals.narrow[find.slot.index] = cells.map(of_cell).collect();
    }
}

/// The result of a plan with a join.
pub(crate) async fn run(
    world: &World,
    plan: &Plan,
) -> Result<party_agent::result::ResultTable, SourceError> {
    let totals = in_the_clear(world, plan).await?;
    let released = plans::release(plan, &[totals]);
    let table = party_agent::result::table(plan, &released).await;
    Ok(table.expect("a result"))
}
