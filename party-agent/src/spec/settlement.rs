//! `[settlement]`: what a run costs, and among whom that is split.

use protocols::party::PartyId;
use serde::{Serialize, Serializer};

use crate::config::fields::{Faults, Fields};

/// Shares of one amount, in millionths.
pub(crate) const WHOLE_PPM: u64 = 1_000_000;
/// Largest amount, in the currency's smallest unit.
const MAX_MINOR: u64 = 1 << 50;
const STAGES: &str = "\"collect\", \"process\", \"circulate\" or \"apply\"";

/// How a job is paid for. The parties sign it with the job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Settlement {
    /// Three capital letters, as in ISO 4217.
    pub currency: String,
    /// What the receivers together owe for a run, in the currency's smallest unit.
    pub per_run_minor: u64,
    /// Who gets it; the parts add up to the whole.
    pub split: Vec<Part>,
    /// Whether all computing parties are told as well what would be missing without each holder.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub leave_one_out: bool,
}

/// One part of the amount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// What it is for.
    pub stage: Stage,
    /// Who gets it, and by what.
    #[serde(serialize_with = "basis")]
    pub to: Basis,
    /// How much of the amount, in millionths.
    pub ppm: u64,
}

/// What a part is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Gathering the data.
    Collect,
    /// Making them usable.
    Process,
    /// Bringing parties together.
    Circulate,
    /// Making use of results.
    Apply,
}

/// Who gets a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Basis {
    /// One party, whatever it contributed. It need not take part in the job.
    Fixed(PartyId),
    /// All holders, in proportion to their Shapley values.
    Shapley,
}

fn basis<S: Serializer>(basis: &Basis, out: S) -> Result<S::Ok, S::Error> {
    match basis {
        Basis::Fixed(party) => out.collect_str(party),
        Basis::Shapley => out.serialize_str("*"),
    }
}

impl Settlement {
    /// Whether the holders' contributions have to be found.
    #[must_use]
    pub fn is_metered(&self) -> bool {
        self.split.iter().any(|part| part.to == Basis::Shapley)
    }
}

pub(super) fn read(mut fields: Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<Settlement> {
    let currency = fields.string(faults, "currency");
    let allowed = "three capital letters, such as \"CNY\"";
    let currency = fields.required(faults, "currency", currency, allowed);
    let currency = currency.filter(|word| {
        let is_code = word.len() == 3 && word.bytes().all(|b| b.is_ascii_uppercase());
        if !is_code {
            fields.wrong(
                faults,
                "currency",
                format!("\"{word}\" is not a currency"),
                allowed,
            );
        }
        is_code
    });
    let amount = fields.whole(faults, "per_run_minor", 0..=MAX_MINOR);
    let allowed = "what a run costs, in the currency's smallest unit";
    let amount = fields.required(faults, "per_run_minor", amount, allowed);
    let leave_one_out = fields.boolean(faults, "leave_one_out").unwrap_or(false);
    let parts = fields.tables(faults, "split");
    let split: Vec<Option<Part>> = parts
        .into_iter()
        .map(|part| read_part(part, faults))
        .collect();
    let split = split.into_iter().collect::<Option<Vec<Part>>>();
    let whole = split.iter().flatten().map(|part| part.ppm).sum::<u64>();
    if split.is_some() && whole != WHOLE_PPM {
        let what = format!("the parts add up to {whole} millionths");
        fields.wrong(faults, "split", what, "parts that add up to 1000000");
    }
    let by_contribution = |part: &Part| part.to == Basis::Shapley;
    if leave_one_out && !split.iter().flatten().any(by_contribution) {
        let what = "no part goes by what holders contribute".to_owned();
        let allowed = "true beside a part with basis = \"shapley\"";
        fields.wrong(faults, "leave_one_out", what, allowed);
    }
    fields.finish(faults);
    Some(Settlement {
        currency: currency?.to_owned(),
        per_run_minor: amount?,
        split: split?,
        leave_one_out,
    })
}

fn read_part(mut fields: Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<Part> {
    let stage = fields.string(faults, "stage");
    let stage = fields.required(faults, "stage", stage, STAGES);
    let stage = stage.and_then(|word| {
        let found = match word {
            "collect" => Stage::Collect,
            "process" => Stage::Process,
            "circulate" => Stage::Circulate,
            "apply" => Stage::Apply,
            _ => {
                fields.wrong(
                    faults,
                    "stage",
                    format!("\"{word}\" is not a stage"),
                    STAGES,
                );
                return None;
            }
        };
        Some(found)
    });
    let ppm = fields.whole(faults, "ppm", 0..=WHOLE_PPM);
    let ppm = fields.required(faults, "ppm", ppm, "millionths of the amount");
    let party = fields.string(faults, "party");
    let party = fields.required(faults, "party", party, "a party, or \"*\" for all holders");
    let basis = fields.string(faults, "basis");
    let basis = fields.required(faults, "basis", basis, "\"fixed\" or \"shapley\"");
    let to = match (party?, basis?) {
        ("*", "shapley") => Some(Basis::Shapley),
        (party, "fixed") => match party.parse() {
            Ok(party) => Some(Basis::Fixed(party)),
            Err(_) => {
                let what = format!("\"{party}\" cannot be a party");
                fields.wrong(faults, "party", what, "a party's name");
                None
            }
        },
        (_, word) => {
            let what = format!("\"{word}\" is no basis for this party");
            let allowed = "\"fixed\" for one party, \"shapley\" for \"*\"";
            fields.wrong(faults, "basis", what, allowed);
            None
        }
    };
    fields.finish(faults);
    Some(Part {
        stage: stage?,
        to: to?,
        ppm: ppm?,
    })
}
