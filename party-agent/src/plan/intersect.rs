//! Plans of intersections: whose keys, by which protocol and why, and what that tells whom.

mod choose;
pub(super) mod keys;
mod words;

use std::collections::BTreeMap;

use protocols::party::PartyId;
use serde::Serialize;

use super::sql::holders::Catalogues;
use super::{
    LocalPlan, MinCell, OutputColumn, Plan, PlanFault, Procedure, ReleaseRule, Shape, ValueKind,
};
use crate::spec::{self, CheckedSpec, KeyJoin, Reveal, rule_word};
use keys::Side;

/// An intersection, as it is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IntersectPlan {
    /// The key of each holder, in the order of seats.
    pub keys: Vec<KeyPlan>,
    /// How the spelling of keys is evened out, by its word in a job file.
    pub normalise: String,
    /// What receivers learn.
    pub reveal: Reveal,
    /// Which of its keys a receiver gets, where it gets keys.
    pub join: KeyJoin,
    /// What runs.
    pub protocol: Protocol,
    /// What runs, why this protocol, and what it rests on, in words.
    pub words: Vec<String>,
}

/// One holder's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyPlan {
    /// As the job names it: `hospital.patients.national_id`.
    pub label: String,
    /// Its columns, as the catalogue spells them.
    pub columns: Vec<String>,
    /// Published bound on the number of keys.
    pub at_most: u64,
}

/// What finds the common keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// VOLE-PSI, 2022/320.
    Vole,
    /// Diffie–Hellman over x-coordinates of Curve25519.
    Ecdh,
}

impl Protocol {
    /// Its name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Vole => "VOLE-PSI (vole)",
            Self::Ecdh => "Diffie–Hellman on Curve25519 (ecdh)",
        }
    }
}

/// Compiles an intersection.
pub(super) fn compile(
    spec: &CheckedSpec,
    job: &spec::Intersect,
    catalogues: &Catalogues,
) -> Result<Plan, Vec<PlanFault>> {
    let sides = keys::sides(job, catalogues)?;
    let mut faults = keys::mismatches(&sides.iter().collect::<Vec<_>>());
    faults.extend(obtainable(spec, job));
    if sides.len() > 2 {
        faults.push(PlanFault {
            place: "compute.intersect.keys".to_owned(),
            what: format!("names {} holders", sides.len()),
            fix: "name two: more are not available in this version".to_owned(),
        });
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let seats: Vec<PartyId> = sides.iter().map(|side| side.holder.clone()).collect();
    let chosen = choose::choose(job, &sides, &seats, &spec.receivers).map_err(|f| vec![f])?;
    let min_cell = MinCell::strictest(spec, catalogues, &seats);
    let mut of = IntersectPlan {
        keys: sides.iter().map(Side::plan).collect(),
        normalise: rule_word(job.normalise).to_owned(),
        reveal: job.reveal,
        join: job.join,
        protocol: chosen.protocol,
        words: Vec::new(),
    };
    of.words = words::of_run(&of, &chosen.why);
    Ok(Plan {
        format: super::PLAN_FORMAT,
        engine: concat!("entente ", env!("CARGO_PKG_VERSION")).to_owned(),
        job: spec.job.clone(),
        purpose: spec.purpose.clone(),
        spec: spec.digest().to_string(),
        seats,
        dealer: None,
        receivers: spec.receivers.clone(),
        correlations: None,
        min_cell,
        max_wall_s: spec.max_wall_s,
        locals: locals(&sides, spec, job),
        keys: Vec::new(),
        measures: Vec::new(),
        shape: no_totals(),
        steps: Vec::new(),
        released: Vec::new(),
        final_sql: String::new(),
        outputs: outputs(&of, spec, &sides),
        learns: words::learns(&of, &sides, &spec.receivers),
        warnings: words::warnings(&of, spec, &sides),
        notes: words::notes(&of, &sides),
        procedure: Procedure::Intersect(of),
        cost: chosen.cost,
    })
}

/// The keys that a job wants are those of its receivers: nobody gets keys that it does not hold.
fn obtainable(spec: &CheckedSpec, job: &spec::Intersect) -> Option<PlanFault> {
    let whose = match job.join {
        KeyJoin::Inner => return None,
        KeyJoin::Left | KeyJoin::Difference => job.keys.first(),
        KeyJoin::Right => job.keys.last(),
    };
    let holder = &whose?.party;
    let other = spec.receivers.iter().find(|r| *r != holder)?;
    Some(PlanFault {
        place: "compute.intersect.join".to_owned(),
        what: format!("asks for all keys of {holder}, and {other} would get them"),
        fix: format!("receivers = [\"{holder}\"], or join = \"inner\""),
    })
}

/// The shape of a release that releases nothing.
pub(super) fn no_totals() -> Shape {
    Shape {
        cells: 0,
        narrow: 0,
        wide: 0,
        checks: Vec::new(),
        rule: ReleaseRule::None,
        top: None,
        margins: None,
        hidden: None,
    }
}

fn locals(
    sides: &[Side<'_>],
    spec: &CheckedSpec,
    job: &spec::Intersect,
) -> BTreeMap<PartyId, LocalPlan> {
    let locals = sides.iter().map(|side| {
        // Who learns rows learns something about the others' tables.
        let others_learn = spec.receivers.iter().any(|r| *r != side.holder);
        let row_level = job.reveal == Reveal::Rows && others_learn;
        (side.holder.clone(), side.local(row_level))
    });
    locals.collect()
}

/// The columns of the result; where receivers get their own keys, those of the first receiver.
fn outputs(of: &IntersectPlan, spec: &CheckedSpec, sides: &[Side<'_>]) -> Vec<OutputColumn> {
    let first = sides
        .iter()
        .position(|s| spec.receivers.first() == Some(&s.holder));
    first.map_or_else(Vec::new, |seat| of.outputs(seat))
}

impl IntersectPlan {
    /// The columns of the result at a receiver.
    #[must_use]
    pub fn outputs(&self, seat: usize) -> Vec<OutputColumn> {
        let column = |name: &str, kind| OutputColumn {
            name: name.to_owned(),
            kind,
        };
        if self.reveal == Reveal::Count {
            return vec![column("count", ValueKind::Int)];
        }
        let names = self.keys.get(seat).map_or(&[][..], |key| &key.columns);
        let mut columns: Vec<_> = names.iter().map(|n| column(n, ValueKind::Text)).collect();
        if matches!(self.join, KeyJoin::Left | KeyJoin::Right) {
            let taken = names.iter().any(|n| n == "matched");
            let name = if taken { "matched_key" } else { "matched" };
            columns.push(column(name, ValueKind::Bool));
        }
        columns
    }
}
