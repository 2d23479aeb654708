//! Boosted trees over a join: this holder's features in bins, the protocol, and where its features were split.

use coordinator::contract::Digest;
use coordinator::job::FailureClass;
use protocols::disclose::Disclosure;
use protocols::party::PartyId;
use protocols::session::Session;
use protocols::train::trees::Split;
use protocols::train::trees::joined::{self, Released, Table};

use super::super::{Broken, Failure, Task, internal, result_failure};
use super::{Columns, Own, Ready, check_levels};
use crate::local::People;
use crate::local::bins::Bins;
use crate::model::{ModelPart, PartForest, PartSplit};
use crate::plan::{TreesPlan, VerticalPlan};
use crate::result::{self, ResultTable};
use crate::source::SourceError;
use crate::spec;

impl Task<'_> {
    /// Joins, grows, evaluates and releases.
    pub(super) async fn forest(
        &self,
        session: &mut Session,
        of: &VerticalPlan,
        (ready, own): (Ready, Option<Own>),
        disclosure: Disclosure,
    ) -> Result<(Option<ResultTable>, Option<ModelPart>), Broken> {
        let (sizes, mut stock) = (ready.sizes, ready.stock);
        let shape = of.forest(&sizes, self.plan.setting().method);
        let shape = shape.ok_or_else(|| internal("the plan has no trees"))?;
        let (table, edges) = own
            .map(|own| {
                let (rows, bins) = (own.rows, own.bins);
                (Table { rows, bins }, own.edges)
            })
            .unzip();
        let grown = joined::train(session, table, &shape, &mut stock, disclosure).await?;
        let table = match &grown.released {
            None => None,
            Some(found) => {
                judge(of, found)?;
                let table = result::grown(self.plan, of, found);
                Some(table.map_err(|e| result_failure(&e))?)
            }
        };
        let splits = grown.splits.unwrap_or_default();
        let edges = edges.unwrap_or_default();
        let mut part = self.part_of_trees(of, &splits, &edges);
        if let Some(forest) = &mut part.forest {
            forest.start = shape.trees.start.into();
            forest.leaves = grown.leaves.0.into_vec();
        }
        Ok((table, Some(part)))
    }

    /// Where this holder's features were split, and how many trees there are.
    fn part_of_trees(
        &self,
        of: &VerticalPlan,
        splits: &[Option<Split>],
        edges: &[Bins],
    ) -> ModelPart {
        let contract = self.binding.contract;
        let id = [&contract.0[..], &self.binding.session_id()].concat();
        let (seat, party) = (
            self.binding.me.index(),
            &self.plan.seats[self.binding.me.index()],
        );
        let id = Digest::of(&id).to_string();
        let mut part = ModelPart::new(id, &self.plan.job, contract, party.as_str());
        let place = of.tables.iter().position(|t| t.seat == seat);
        let of_bins = of.trees.iter().flat_map(|t| &t.bins);
        let own = of.features.iter().zip(of_bins);
        let own: Vec<_> = own.filter(|((p, _), _)| Some(*p) == place).collect();
        for ((_, name), bins) in &own {
            if let spec::Bins::Levels(levels) = bins {
                part.levels.insert(name.clone(), levels.clone());
            }
        }
        let depth = of.trees.as_ref().map_or(1, |t| t.grown.depth);
        let n_splits = (1usize << depth) - 1;
        let split = |(at, split): (usize, &Option<Split>)| {
            let Split { feature, bin } = (*split)?;
            let bins = edges.get(feature)?;
            if bins.is_last(bin) {
                // Nothing is beyond it: all rows go to the left, as where there is no split.
                return None;
            }
            Some(PartSplit {
                tree: at / n_splits,
                node: at % n_splits,
                feature: own.get(feature)?.0.1.clone(),
                at_most: bins.upper(bin),
            })
        };
        part.splits = splits.iter().enumerate().filter_map(split).collect();
        part.forest = of.trees.as_ref().map(|trees| PartForest {
            n_trees: trees.grown.n_trees,
            depth: trees.grown.depth,
            start: 0,
            parties: self.plan.seats.iter().map(PartyId::to_string).collect(),
            features: own.iter().map(|((_, name), _)| name.clone()).collect(),
            leaves: Vec::new(),
        });
        part
    }
}

/// The features of the table at a place: at the hub apart, since they stay there.
pub(super) fn columns(
    of: &VerticalPlan,
    trees: &TreesPlan,
    place: usize,
    people: &People,
    made: &mut Columns,
) -> Result<(), SourceError> {
    let own = of.features.iter().zip(&trees.bins);
    let own: Vec<_> = own.filter(|((p, _), _)| *p == place).collect();
    let n_bins = usize::try_from(trees.grown.bins).unwrap_or(usize::MAX);
    for (((_, name), bins), values) in own.iter().zip(&people.numbers) {
        check_levels(values, bins, (&of.tables[place].label, name))?;
        made.edges.push(match bins {
            spec::Bins::Cuts(cuts) => Bins {
                edges: cuts.iter().filter_map(|cut| cut.parse().ok()).collect(),
                has_missing: values.iter().any(|v| v.is_nan()),
            },
            spec::Bins::Found(_) | spec::Bins::Levels(_) => Bins::of(values, n_bins),
        });
    }
    let numbers = people.numbers.iter().zip(&made.edges);
    let numbers = numbers.map(|(values, bins)| bins.numbers(values)).collect();
    match place {
        0 => made.bins = numbers,
        _ => made.narrow = numbers,
    }
    Ok(())
}

/// Whether enough rows were fitted.
fn judge(of: &VerticalPlan, found: &Released) -> Result<(), Failure> {
    match found.is_enough {
        true => Ok(()),
        false => Err(Failure::here(
            FailureClass::Data,
            format!("fewer than {} rows in common are fitted", of.at_least),
            "bring more rows, or fewer features",
        )),
    }
}
