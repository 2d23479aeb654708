//! What a job file says of proportional hazards.

use serde::Serialize;

use super::super::intersect::{self, KeyOf};
use crate::config::fields::{Faults, Fields};

const TIME: &str = "\"party.table.column\": how long a person was observed";
const EVENT: &str =
    "\"party.table.column\" of the same table: 1 where that ended with the event, 0 where not";
const TIES: &str = "\"efron\" or \"breslow\"";

/// How long people were observed, and how equal times are dealt with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hazards {
    /// The column of times, in the table of events.
    pub time: String,
    /// What is done where several events have the same time.
    pub ties: Ties,
}

/// What is done where several events have the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ties {
    /// All of them have everybody at risk.
    Breslow,
    /// Part of the others is not at risk any more.
    Efron,
}

const WORDS: &[(&str, Ties)] = &[("breslow", Ties::Breslow), ("efron", Ties::Efron)];

impl Ties {
    /// Its word in a job file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Breslow => "breslow",
            Self::Efron => "efron",
        }
    }
}

/// Reads times, events and ties: the column of events, and the rest.
pub(super) fn read<'t>(
    fields: &mut Fields<'_, 't>,
    text: &'t str,
    faults: &mut Faults<'t>,
) -> Option<(KeyOf, Hazards)> {
    let mut column = |field: &'static str, allowed| {
        let at = fields.value(field);
        let at = fields.required(faults, field, at, allowed)?;
        intersect::key(&fields.name(field), at, text, faults)
    };
    let (time, event) = (column("time", TIME), column("event", EVENT));
    let ties = match fields.value("ties") {
        None => Some(Ties::Efron),
        Some(_) => intersect::word(fields, "ties", WORDS, TIES, faults),
    };
    let (time, event) = (time?, event?);
    let is_one = time.columns.len() == 1 && event.columns.len() == 1;
    if (&time.party, &time.table) != (&event.party, &event.table) || !is_one {
        let what = "is no column of the events' table";
        fields.wrong(faults, "time", what, TIME);
        return None;
    }
    let time = time.columns.into_iter().next()?;
    Some((event, Hazards { time, ties: ties? }))
}
