//! Scores by boosted trees: where this holder's rows go at its own nodes, and its shares of the leaves.

use engine::share::Share;
use protocols::party::PartyId;
use protocols::session::Session;
use protocols::train::score::forest;
use protocols::train::trees::MARGIN_BITS;

use super::super::{Broken, Failure, Task, internal};
use super::{Own, Run, unknown};
use crate::model::ModelPart;
use crate::plan::ScoredTable;
use crate::result::Scores;
use crate::spec;

impl Task<'_> {
    /// Margins and risks.
    pub(super) async fn walked(
        &self,
        session: &mut Session,
        mut run: Run<'_>,
    ) -> Result<Option<Scores>, Broken> {
        let shape = run.of.forest(run.sizes);
        let shape = shape.ok_or_else(|| internal("the plan has no trees"))?;
        // All computing parties are holders: a part is refused whose leaves are shared with others.
        let part = run.own.and_then(|own| own.part.forest.as_ref());
        let n_rows = run.own.map_or(0, |own| own.rows.items.len());
        let part = part.ok_or_else(|| internal("a party has no share of the leaves"))?;
        let input = (run.rows, Share::new(part.leaves.clone()));
        let stock = &mut run.stock;
        let found = forest::margins(session, input, &shape, stock, run.disclosure).await?;
        let real = |sum: u64| {
            let margin = sum.cast_signed().wrapping_add(part.start);
            margin as f64 * 2f64.powi(-MARGIN_BITS.cast_signed())
        };
        Ok(found.map(|found| {
            // What stands behind the rows fills the table up.
            let margins: Vec<f64> = found.into_iter().take(n_rows).map(real).collect();
            let risks = margins.iter().map(|margin| 1.0 / (1.0 + (-margin).exp()));
            Scores {
                numbers: vec![margins.clone(), risks.collect()],
                reasons: Vec::new(),
            }
        }))
    }
}

/// Whether a part is that of so many trees with these features, shared among these parties.
pub(super) fn check(
    part: &ModelPart,
    (trees, names): (spec::Forest, &[String]),
    seats: &[PartyId],
) -> Result<(), String> {
    let ModelPart { party, model, .. } = part;
    let wrong = |what: String| Err(format!("{party}: its part of model {model} {what}"));
    let Some(forest) = &part.forest else {
        return wrong("has no trees that score".to_owned());
    };
    let spec::Forest { n_trees, depth } = trees;
    if (forest.n_trees, forest.depth) != (n_trees, depth)
        || forest.leaves.len() as u64 != n_trees << depth
    {
        return wrong(format!(
            "has {} trees of depth {}",
            forest.n_trees, forest.depth
        ));
    }
    if !forest.parties.iter().eq(seats.iter().map(PartyId::as_str)) {
        return wrong(format!(
            "shares its leaves among {}, which all have to bring rows",
            forest.parties.join(", ")
        ));
    }
    let left = forest.features.iter().find(|f| !names.contains(f));
    if let Some(left) = left {
        return wrong(format!("needs {left}, which the job does not name"));
    }
    match names.iter().find(|name| !forest.features.contains(name)) {
        Some(name) => wrong(format!("was not grown with {name}")),
        None => Ok(()),
    }
}

/// For each node 1 for the rows that go to the right there by this holder's part.
pub(super) fn columns(own: &mut Own, table: &ScoredTable, n_shown: usize) -> Result<(), Failure> {
    let Some(forest) = &own.part.forest else {
        return Err(internal("the part has no trees"));
    };
    let n_rows = own.rows.items.len();
    let tree_nodes = (1usize << forest.depth) - 1;
    let n_nodes = usize::try_from(forest.n_trees).unwrap_or(usize::MAX) * tree_nodes;
    own.columns = vec![vec![0; n_rows]; n_nodes];
    for split in &own.part.splits {
        let at = split.tree * tree_nodes + split.node;
        let place = table.features.iter().position(|f| *f == split.feature);
        let values = place.and_then(|place| own.rows.texts.get(n_shown + place));
        let (Some(values), Some(column)) = (values, own.columns.get_mut(at)) else {
            return Err(internal("a split is one of a feature, and in a tree"));
        };
        for (bit, value) in column.iter_mut().zip(values) {
            let goes_right = own.part.goes_right(split, value.as_deref());
            *bit = u64::from(goes_right.ok_or_else(|| unknown(table, &split.feature))?);
        }
    }
    Ok(())
}
