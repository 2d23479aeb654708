//! What is wrong with a model over a join as its job asks for it.

use protocols::train::glm::MAX_LOG_ROWS;

use super::{descent, is_number};
use crate::plan::PlanFault;
use crate::plan::compile::SOURCES;
use crate::plan::intersect::keys::{Side, in_words, named_column};
use crate::spec::{self, CheckedSpec, Correlations, JoinLevel};

/// A column of numbers, as the catalogue spells it.
pub(super) fn numeric(side: &Side<'_>, name: &str, line: usize) -> Result<String, PlanFault> {
    let place = format!("compute.train, line {line}");
    let found = named_column(side, name, &place)?;
    match is_number(&found.kind) {
        true => Ok(found.name.clone()),
        false => Err(PlanFault {
            place,
            what: format!(
                "{}.{}.{} is {}",
                side.holder,
                side.table,
                found.name,
                in_words(&found.kind)
            ),
            fix: "name a column of numbers, or let its holder publish one".to_owned(),
        }),
    }
}

/// What a source of randomness, or a published size, does not allow.
pub(super) fn source_faults(
    spec: &CheckedSpec,
    job: &spec::Vertical,
    sides: &[Side<'_>],
) -> Vec<PlanFault> {
    let mut faults = Vec::new();
    let mut fault = |place: &str, what: String, fix: &str| {
        faults.push(PlanFault {
            place: place.to_owned(),
            what,
            fix: fix.to_owned(),
        });
    };
    if spec.correlations.is_none() {
        let what = "is missing: a model over a join is fitted on shares, which takes correlated random numbers";
        fault("privacy.correlations", what.to_owned(), SOURCES);
    }
    if spec.join.is_some_and(|level| level != JoinLevel::Hidden) {
        let what = "tells who matched or how many, which a model over a join does not";
        fault(
            "privacy.join",
            what.to_owned(),
            "\"hidden\", or leave it out",
        );
    }
    if job.trees.is_some() && !matches!(spec.correlations, Some(Correlations::Dealer(_)) | None) {
        let what = "asks for trees without a dealer: products with a shared matrix of all bins would take terabytes";
        let fix =
            "\"dealer:NAME\", a party that brings no data and does not collude with any other";
        fault("privacy.correlations", what.to_owned(), fix);
    }
    if job.descent.is_some()
        && matches!(
            spec.correlations,
            Some(Correlations::Ot | Correlations::FerretOt)
        )
    {
        fault(
            "privacy.correlations",
            descent::NO_DEALER.to_owned(),
            descent::DEALER,
        );
    }
    for side in sides.iter().filter(|s| s.rows_at_most > 1 << MAX_LOG_ROWS) {
        let what = format!(
            "{}.{} has up to {} rows by its published size",
            side.holder, side.table, side.rows_at_most
        );
        let fix = "a model over a join takes tables of at most 524288 rows";
        fault(
            &format!("compute.train, line {}", job.label.line),
            what,
            fix,
        );
    }
    faults
}
