//! Who is counted: where a holder keeps account of that, its query tells persons and rows apart, and the figures are such that
//! what they tell of somebody follows from who is counted.

use datafusion::sql::sqlparser::ast::{Expr, Ident};

use super::dominance::is_multiple;
use super::part::{Convert, JoinKey, Part};
use super::sql::holders::Catalogues;
use super::sql::outer::Outer;
use super::{Plan, PlanFault};
use crate::catalogue::Cohorts;
use crate::spec::CheckedSpec;

fn fault(what: impl Into<String>, fix: &str) -> PlanFault {
    PlanFault {
        place: "compute.sql".to_owned(),
        what: what.into(),
        fix: fix.to_owned(),
    }
}

/// The columns by which holders tell persons and rows apart, if one of them keeps account. Noise has an account of its own.
///
/// # Errors
/// Figures that do not follow from who is counted.
pub(super) fn kept(
    spec: &CheckedSpec,
    catalogues: &Catalogues,
    outer: &Outer,
    parts: &[Part],
) -> Result<Option<Cohorts>, PlanFault> {
    if spec.dp.is_some() {
        return Ok(None);
    }
    let mut found: Option<Cohorts> = None;
    for part in parts {
        let tables = catalogues.get(&part.holder).map(|c| &c.tables);
        let entries = part.tables.iter().filter_map(|t| tables?.get(t));
        for own in entries.filter_map(|entry| entry.cohorts.as_ref()) {
            if found.as_ref().is_some_and(|other| other != own) {
                let what = "the holders tell persons or rows apart by columns of different names";
                return Err(fault(what, "ask them to name the columns alike"));
            }
            found = Some(own.clone());
            possible(outer, part)?;
        }
    }
    Ok(found)
}

fn possible(outer: &Outer, part: &Part) -> Result<(), PlanFault> {
    let holder = &part.holder;
    if let Some(node) = &part.beyond_rows {
        let what = format!(
            "{holder} keeps account of who is counted, which cannot be told where its query does more than choose and transform rows ({node})"
        );
        let fix = "select rows of single tables with UNION ALL and WHERE";
        return Err(fault(what, fix));
    }
    if part.tables.len() != 1 {
        let what = format!(
            "{holder} keeps account of who is counted by table, and its part reads several"
        );
        return Err(fault(what, "ask about one table of each holder in a job"));
    }
    for (place, arg) in outer.args.iter().enumerate() {
        let column = outer.keys.len() + place;
        let is_number_of_rows = arg.label == "*";
        if !is_number_of_rows && !part.has_form(column, is_multiple) {
            let what = format!(
                "{holder} keeps account of who is counted, and {} counts some in another way than others",
                arg.label
            );
            let fix = "aggregate single columns, and put conditions into WHERE or GROUP BY";
            return Err(fault(what, fix));
        }
    }
    if outer.keys.iter().any(|key| key.follow_up.is_some()) {
        let what =
            format!("{holder} keeps account of who is counted, which is not there for survival");
        return Err(fault(what, "leave its table out"));
    }
    Ok(())
}

/// The further columns of the holders' queries: who contributes or is counted, and in which row.
///
/// # Errors
/// Two different columns that tell who somebody is.
pub(super) fn columns(
    contributor: Option<&str>,
    kept: Option<&Cohorts>,
) -> Result<Vec<JoinKey>, PlanFault> {
    let column = |name: &str| JoinKey {
        expr: Expr::Identifier(Ident::with_quote('"', name)),
        convert: Convert::Text,
    };
    match (contributor, kept) {
        (Some(contributor), Some(kept)) if contributor != kept.person => {
            let what = format!(
                "contributors are told apart by {contributor} and persons by {}",
                kept.person
            );
            Err(fault(
                what,
                "ask the holders to write the same column for both",
            ))
        }
        (_, Some(kept)) => Ok(vec![column(&kept.person), column(&kept.row)]),
        (Some(contributor), None) => Ok(vec![column(contributor)]),
        (None, None) => Ok(Vec::new()),
    }
}

/// Figures over tables whose holders keep account of who is counted, and could not of these.
pub(super) fn not_kept(plan: &Plan, catalogues: &Catalogues) -> Option<PlanFault> {
    if plan.cohorts.is_some() || plan.noise.is_some() {
        return None;
    }
    for (holder, local) in &plan.locals {
        let entries = catalogues.get(holder).map(|c| &c.tables);
        let mut kept = local.tables.iter().filter_map(|t| entries?.get(t));
        if kept.any(|entry| entry.cohorts.is_some()) {
            let what = format!(
                "{holder} keeps account of who is counted in released figures, which in this version is there for SQL over a UNION ALL of the holders' rows"
            );
            return Some(fault(
                what,
                "leave its table out, or ask for releases with noise",
            ));
        }
    }
    None
}
