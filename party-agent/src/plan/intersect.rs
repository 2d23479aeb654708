//! Plans of intersections: whose keys, by which protocol and why, and what that tells whom.

mod choose;
pub(super) mod keys;
mod words;

use std::collections::BTreeMap;

use protocols::party::PartyId;
use serde::Serialize;

use super::sql::holders::Catalogues;
use super::{
    CellCheck, LocalPlan, MinCell, OutputColumn, Plan, PlanFault, Procedure, ReleaseRule, Shape,
    ValueKind,
};
use crate::spec::{self, CheckedSpec, KeyJoin, Reveal, rule_word};
use keys::Side;
use protocols::party::Seat;
use protocols::psi::{circuit, many};

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
    /// The seat that the others answer to, where there is one.
    pub hub: usize,
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
    /// The column that is added up over common keys, and digits after its point.
    pub summed: Option<(String, i8)>,
}

/// What finds the common keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// VOLE-PSI, 2022/320.
    Vole,
    /// Diffie–Hellman over x-coordinates of Curve25519.
    Ecdh,
    /// A programmable function of the VOLE, from every holder to one: three or more.
    Many,
    /// A join in shares, of which totals are opened.
    Circuit,
    /// An oblivious function of the other table, which is prepared once for each state of its data.
    Oprf,
}

impl Protocol {
    /// Its name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Vole => "VOLE-PSI (vole)",
            Self::Ecdh => "Diffie–Hellman on Curve25519 (ecdh)",
            Self::Many => "VOLE-PSI of many (vole)",
            Self::Circuit => "VOLE-PSI with matches in shares (vole)",
            Self::Oprf => "verifiable oblivious function, one table prepared (oprf)",
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
    let summed = match keys::summed(job, &sides) {
        Ok(summed) => summed,
        Err(fault) => {
            faults.push(fault);
            None
        }
    };
    if !faults.is_empty() {
        return Err(faults);
    }
    let seats: Vec<PartyId> = sides.iter().map(|side| side.holder.clone()).collect();
    let min_cell = MinCell::strictest(spec, catalogues, &seats);
    let protocol = choose::choose(spec, job, &sides).map_err(|f| vec![f])?;
    let mut keys: Vec<KeyPlan> = sides.iter().map(Side::plan).collect();
    if let Some((seat, column)) = summed {
        keys[seat].summed = Some(column);
    }
    let mut of = IntersectPlan {
        keys,
        normalise: rule_word(job.normalise).to_owned(),
        reveal: job.reveal.clone(),
        join: job.join,
        protocol: protocol.protocol,
        hub: hub(&sides, spec, protocol.protocol),
        words: Vec::new(),
    };
    of.words = words::of_run(&of, &protocol.why);
    let is_circuit = of.protocol == Protocol::Circuit;
    let correlations = spec.correlations.clone().filter(|_| is_circuit);
    let shape = match is_circuit {
        true => totals(&of, &min_cell),
        false => Shape::none(),
    };
    let plan = Plan::of_job(spec, seats, correlations, min_cell);
    Ok(choose::priced(Plan {
        locals: locals(&sides, spec, job),
        shape,
        outputs: outputs(&of, spec, &sides),
        learns: words::learns(&of, &sides, &spec.receivers, plan.dealer.as_ref()),
        warnings: words::warnings(&of, spec, &sides),
        notes: words::notes(&of, &sides),
        procedure: Procedure::Intersect(of),
        ..plan
    }))
}

/// The holder that others answer to: the one with the smallest table, and where rows are told, of the receivers.
fn hub(sides: &[Side<'_>], spec: &CheckedSpec, protocol: Protocol) -> usize {
    let may = |side: &Side<'_>| protocol != Protocol::Many || spec.receivers.contains(&side.holder);
    let seats = (0..sides.len()).filter(|seat| may(&sides[*seat]));
    seats
        .min_by_key(|seat| sides[*seat].rows_at_most)
        .unwrap_or(0)
}

/// One group: the common keys. Its totals are released if their number reaches the minimum.
fn totals(of: &IntersectPlan, min_cell: &MinCell) -> Shape {
    let at_least = min_cell.at_least;
    let bound = of.keys.iter().map(|key| key.at_most).max().unwrap_or(1);
    let check = CellCheck {
        column: 0,
        at_least,
        bound_bits: 64 - bound.max(at_least).max(1).leading_zeros(),
        rule: format!("count >= {at_least}"),
        reason: "min_cell".to_owned(),
    };
    let is_checked = at_least > 1;
    Shape {
        cells: 1,
        narrow: 1,
        wide: of.keys.iter().filter(|key| key.summed.is_some()).count(),
        checks: is_checked.then_some(check).into_iter().collect(),
        rule: match is_checked {
            true => ReleaseRule::Compare,
            false => ReleaseRule::None,
        },
        ..Shape::none()
    }
}

/// The keys that a job wants are those of its receivers: nobody gets keys that it does not hold.
fn obtainable(spec: &CheckedSpec, job: &spec::Intersect) -> Option<PlanFault> {
    let whose = match job.join {
        KeyJoin::Inner | KeyJoin::Full => return None,
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

fn locals(
    sides: &[Side<'_>],
    spec: &CheckedSpec,
    job: &spec::Intersect,
) -> BTreeMap<PartyId, LocalPlan> {
    let locals = sides.iter().map(|side| {
        // Who learns rows learns something about the others' tables.
        let others_learn = spec.receivers.iter().any(|r| *r != side.holder);
        let row_level = job.reveal == Reveal::Rows && others_learn;
        let mut local = side.local(row_level);
        if let Reveal::Sum(column) = &job.reveal
            && column.party == side.holder
        {
            side.add_sum(&mut local, column);
        }
        (side.holder.clone(), local)
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
    /// The run's shape where matches are in shares, for these numbers of keys in the order of seats.
    #[must_use]
    pub fn circuit(&self, n_keys: &[usize]) -> circuit::Shape {
        let sides = self.keys.iter().zip(n_keys).enumerate();
        let mut sides: Vec<circuit::Side> = sides
            .map(|(seat, (key, n_rows))| circuit::Side {
                seat: Seat::from_index(seat),
                n_rows: *n_rows,
                narrow: 0,
                wide: usize::from(key.summed.is_some()),
            })
            .collect();
        let hub = sides.remove(self.hub);
        circuit::Shape {
            hub,
            spokes: sides,
            keep: circuit::Keep::All,
        }
    }

    /// The run's shape where rows of three or more are told.
    #[must_use]
    pub fn many(&self, n_keys: Vec<usize>, receivers: &[Seat]) -> many::Shape {
        many::Shape {
            hub: Seat::from_index(self.hub),
            n_items: n_keys,
            receivers: receivers.to_vec(),
        }
    }

    /// The published sizes.
    #[must_use]
    pub fn bounds(&self) -> Vec<usize> {
        let bounds = self.keys.iter().map(|key| usize::try_from(key.at_most));
        bounds.map(|n| n.unwrap_or(usize::MAX)).collect()
    }

    /// The columns of the result at a receiver.
    #[must_use]
    pub fn outputs(&self, seat: usize) -> Vec<OutputColumn> {
        let column = |name: &str, kind| OutputColumn {
            name: name.to_owned(),
            kind,
        };
        let sums = self.keys.iter().filter_map(|key| key.summed.as_ref());
        let sums = sums.map(|(name, scale)| {
            let kind = ValueKind::Decimal {
                precision: 38,
                scale: *scale,
            };
            column(&format!("sum_{name}"), kind)
        });
        if self.reveal != Reveal::Rows {
            let count = column("count", ValueKind::Int);
            return std::iter::once(count).chain(sums).collect();
        }
        let names = self.keys.get(seat).map_or(&[][..], |key| &key.columns);
        let mut columns: Vec<_> = names.iter().map(|n| column(n, ValueKind::Text)).collect();
        if self.join.shows_all() {
            let taken = names.iter().any(|n| n == "matched");
            let name = if taken { "matched_key" } else { "matched" };
            columns.push(column(name, ValueKind::Bool));
        }
        columns
    }
}
