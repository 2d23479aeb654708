//! ROLLUP, CUBE and GROUPING SETS: the keys, and which totals stand beside their groups.

use datafusion::sql::sqlparser::ast::{Expr, GroupByWithModifier};

use crate::plan::Margins;

type Refused = (&'static str, &'static str);

const ONE_FORM: &str =
    "write GROUP BY ROLLUP(a, b, …) or GROUP BY CUBE(a, b), and nothing beside it";

/// The keys of GROUP BY and the totals over them.
///
/// # Errors
/// Combinations whose small groups nobody has a way to protect.
pub(super) fn taken_apart(
    exprs: &[Expr],
    modifiers: &[GroupByWithModifier],
) -> Result<(Vec<Expr>, Option<Margins>), Refused> {
    match (exprs, modifiers) {
        ([Expr::Rollup(sets)], []) => Ok((singles(sets)?, Some(Margins::Rollup))),
        ([Expr::Cube(sets)], []) => cube(singles(sets)?),
        ([Expr::GroupingSets(sets)], []) => grouping_sets(sets),
        (exprs, [GroupByWithModifier::Rollup]) if !exprs.iter().any(is_set) => {
            Ok((exprs.to_vec(), Some(Margins::Rollup)))
        }
        (exprs, [GroupByWithModifier::Cube]) if !exprs.iter().any(is_set) => cube(exprs.to_vec()),
        (exprs, []) if !exprs.iter().any(is_set) => Ok((exprs.to_vec(), None)),
        _ => Err((
            "ROLLUP, CUBE and GROUPING SETS stand alone in GROUP BY in this version",
            ONE_FORM,
        )),
    }
}

fn is_set(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_) | Expr::Tuple(_)
    )
}

/// The keys, where each stands alone.
fn singles(sets: &[Vec<Expr>]) -> Result<Vec<Expr>, Refused> {
    let single = |set: &Vec<Expr>| match set.as_slice() {
        [one] => Ok(one.clone()),
        _ => Err((
            "several keys in one parenthesis of ROLLUP or CUBE are not available in this version",
            ONE_FORM,
        )),
    };
    sets.iter().map(single).collect()
}

/// A CUBE of one key is a ROLLUP.
fn cube(keys: Vec<Expr>) -> Result<(Vec<Expr>, Option<Margins>), Refused> {
    match keys.len() {
        1 => Ok((keys, Some(Margins::Rollup))),
        2 => Ok((keys, Some(Margins::Cube))),
        _ => Err((
            "a CUBE of more than two keys is not available in this version: which totals would tell small groups is not known for it",
            "use a CUBE of two keys, a ROLLUP, or one job for each grouping",
        )),
    }
}

/// The sets that are those of a ROLLUP or of a CUBE of two keys, in any order.
fn grouping_sets(sets: &[Vec<Expr>]) -> Result<(Vec<Expr>, Option<Margins>), Refused> {
    let mut sets: Vec<&Vec<Expr>> = sets.iter().collect();
    sets.sort_by_key(|set| std::cmp::Reverse(set.len()));
    let keys = sets.first().map_or(&[][..], |set| set.as_slice());
    let is_rollup = sets.len() == keys.len() + 1
        && sets
            .iter()
            .zip((0..=keys.len()).rev())
            .all(|(set, n)| set.as_slice() == &keys[..n]);
    let is_cube = match (keys, sets.as_slice()) {
        ([a, b], [_, first, second, none]) => {
            let singles = [std::slice::from_ref(a), std::slice::from_ref(b)];
            let found = [first.as_slice(), second.as_slice()];
            none.is_empty() && (found == singles || found == [singles[1], singles[0]])
        }
        _ => false,
    };
    match (is_rollup && !keys.is_empty(), is_cube) {
        (true, _) => Ok((keys.to_vec(), Some(Margins::Rollup))),
        (_, true) => Ok((keys.to_vec(), Some(Margins::Cube))),
        _ => Err((
            "these GROUPING SETS are neither those of a ROLLUP nor those of a CUBE of two keys",
            ONE_FORM,
        )),
    }
}
