//! This holder's part of a model: what it takes to score with it, and what only this holder may see of it.
//!
//! A part is a file of the holder's state, `models/ID.json`. All parts of one model have the same id, which is a digest of
//! the contract under which it was made and of that run; a digest of its own tells whether a part was changed since.

mod forest;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use coordinator::contract::Digest;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::result::{ResultError, write_private};
use crate::spec::{Closed, Reference};

pub use forest::{PartForest, PartSplit};

/// Version of the format.
const FORMAT: u16 = 1;

/// One holder's part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelPart {
    /// Version of the format.
    pub format: u16,
    /// The same in all parts of a model.
    pub model: String,
    /// The job that made it.
    pub job: String,
    /// Digest of its contract.
    pub contract: Digest,
    /// Whose part this is.
    pub party: String,
    /// At a receiver, the points that everybody begins with.
    pub base_points: Option<f64>,
    /// The holder's features that have a part in the model.
    pub features: Vec<PartFeature>,
    /// Of boosted trees, where the holder's features are split.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub splits: Vec<PartSplit>,
    /// Of boosted trees, the levels of the holder's features that are no numbers: level i is the number i.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub levels: BTreeMap<String, Vec<String>>,
    /// Of boosted trees, how many there are, and this party's shares of their leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forest: Option<PartForest>,
}

/// A feature in bins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartFeature {
    /// Its table.
    pub table: String,
    /// Its column.
    pub feature: String,
    /// What a weight of evidence of 1 adds to the log-odds of bad.
    pub coefficient: f64,
    /// The information value.
    pub iv: f64,
    /// Of a number, where it is cut: bin i is above cut i − 1 and up to cut i.
    pub cuts: Vec<f64>,
    /// Which end of a bin belongs to it.
    #[serde(default, skip_serializing_if = "Closed::is_right")]
    pub closed: Closed,
    /// Of a number, values that have a bin each, behind those of other values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub special: Vec<f64>,
    /// Of texts, the level of each bin.
    pub levels: Vec<String>,
    /// The bins; the last one is that of missing values.
    pub bins: Vec<PartBin>,
}

/// One bin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartBin {
    /// In words.
    pub bin: String,
    /// Rows that were fitted and are bad.
    pub bad: u64,
    /// Rows that were fitted and are good.
    pub good: u64,
    /// Weight of evidence.
    pub woe: f64,
    /// What it adds to a score.
    pub points: f64,
}

/// The file: the text of the part, and its digest.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    part: Box<RawValue>,
    sha256: Digest,
}

/// Why a part cannot be used. The text names the party.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{party}: {what}")]
pub struct PartError {
    party: String,
    what: String,
}

impl PartFeature {
    /// The points of a value; `None` for a text that is none of the levels, or no number.
    #[must_use]
    pub fn points(&self, value: Option<&str>) -> Option<f64> {
        let bin = match value {
            None => self.bins.len().checked_sub(1)?,
            Some(text) if self.levels.is_empty() => {
                let value: f64 = text.parse().ok()?;
                let special = self.special.iter().position(|special| *special == value);
                match special {
                    _ if value.is_nan() => self.bins.len().checked_sub(1)?,
                    Some(place) => (self.bins.len() + place).checked_sub(1 + self.special.len())?,
                    None => self.closed.bin(&self.cuts, value),
                }
            }
            Some(text) => self.levels.iter().position(|level| level == text)?,
        };
        Some(self.bins.get(bin)?.points)
    }

    /// The points from which it is counted what a value costs.
    #[must_use]
    pub fn reference(&self, reference: Reference) -> f64 {
        let had_rows = self.bins.iter().filter(|bin| bin.bad + bin.good > 0);
        match reference {
            Reference::Neutral => 0.0,
            Reference::Best => {
                let points = had_rows.map(|bin| bin.points);
                points.reduce(f64::max).unwrap_or(0.0)
            }
            Reference::Mean => {
                let of_bins = had_rows.map(|bin| ((bin.bad + bin.good) as f64, bin.points));
                let (n, sum) = of_bins.fold((0.0, 0.0), |(n, sum), (rows, points)| {
                    (n + rows, sum + rows * points)
                });
                if n > 0.0 { sum / n } else { 0.0 }
            }
        }
    }
}

impl ModelPart {
    /// A part of a model that was just made.
    #[must_use]
    pub fn new(model: String, job: &str, contract: Digest, party: &str) -> Self {
        Self {
            format: FORMAT,
            model,
            job: job.to_owned(),
            contract,
            party: party.to_owned(),
            base_points: None,
            features: Vec::new(),
            splits: Vec::new(),
            levels: BTreeMap::new(),
            forest: None,
        }
    }

    /// The text of its file.
    ///
    /// # Panics
    /// Never: a part has string keys and finite numbers.
    #[must_use]
    pub fn to_text(&self) -> String {
        let part = serde_json::to_string_pretty(self).expect("a part has string keys");
        let sha256 = Digest::of(part.as_bytes());
        let part = RawValue::from_string(part).expect("JSON, just written");
        let file = File { part, sha256 };
        serde_json::to_string(&file).expect("a part has string keys")
    }

    /// Reads a party's part of a model.
    ///
    /// # Errors
    /// [`PartError`] if there is none, if it was changed, or if it is another party's or another model's.
    pub fn read(directory: &Path, model: &str, party: &str) -> Result<Self, PartError> {
        let wrong = |what: &str| PartError {
            party: party.to_owned(),
            what: format!("{what} (model {model})"),
        };
        let text = fs::read_to_string(file(directory, model));
        let text = text.map_err(|_| wrong("this party has no part of the model"))?;
        let unreadable = "its part of the model cannot be read";
        let file: File = serde_json::from_str(&text).map_err(|_| wrong(unreadable))?;
        if Digest::of(file.part.get().as_bytes()) != file.sha256 {
            return Err(wrong("its part of the model was changed since it was made"));
        }
        let part: Self = serde_json::from_str(file.part.get()).map_err(|_| wrong(unreadable))?;
        if part.model != model || part.format != FORMAT {
            return Err(wrong("its part is that of another model"));
        }
        match part.party == party {
            true => Ok(part),
            false => Err(wrong("its part of the model is another party's")),
        }
    }
}

fn file(directory: &Path, model: &str) -> PathBuf {
    directory.join(format!("{model}.json"))
}

/// Where an agent keeps its parts, beside its results.
#[must_use]
pub fn directory(results: &Path) -> PathBuf {
    results.with_file_name("models")
}

/// A part that is written but not yet in its place. Dropped before that, it is removed.
pub struct Pending {
    from: PathBuf,
    to: PathBuf,
    is_kept: bool,
}

impl Pending {
    /// Writes a part where nobody looks for it.
    ///
    /// # Errors
    /// [`ResultError::Write`].
    pub fn write(directory: &Path, model: &str, text: &str) -> Result<Self, ResultError> {
        fs::create_dir_all(directory).map_err(|source| ResultError::Write {
            path: directory.to_owned(),
            source,
        })?;
        let to = file(directory, model);
        let from = to.with_extension("pending");
        let pending = Self {
            from,
            to,
            is_kept: false,
        };
        write_private(&pending.from, text.as_bytes())?;
        Ok(pending)
    }

    /// Moves it to its place.
    ///
    /// # Errors
    /// What the file system says.
    pub fn keep(mut self) -> std::io::Result<()> {
        fs::rename(&self.from, &self.to)?;
        self.is_kept = true;
        Ok(())
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.is_kept {
            // A leftover is no part: nobody reads this name.
            let _ = fs::remove_file(&self.from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part() -> ModelPart {
        let bin = |bin: &str, points| PartBin {
            bin: bin.to_owned(),
            bad: 20,
            good: 80,
            woe: 0.1,
            points,
        };
        let feature = |name: &str| PartFeature {
            table: "loans".to_owned(),
            feature: name.to_owned(),
            coefficient: 0.7,
            iv: 0.3,
            cuts: Vec::new(),
            closed: Closed::Right,
            special: Vec::new(),
            levels: Vec::new(),
            bins: vec![bin("a", 1.5), bin("b", -2.5), bin("missing", 0.25)],
        };
        let mut part = ModelPart::new("m1".to_owned(), "job", Digest::of(b"contract"), "bank_a");
        part.features = vec![
            PartFeature {
                cuts: vec![10.0],
                ..feature("limit")
            },
            PartFeature {
                levels: vec!["x".to_owned(), "y".to_owned()],
                ..feature("kind")
            },
        ];
        part
    }

    /// There may be more bins than cuts: bins behind the greatest value have no rows.
    #[test]
    fn special_values_have_the_bins_before_the_last() {
        let part = part();
        let feature = PartFeature {
            closed: Closed::Left,
            special: vec![-999.0],
            ..part.features[0].clone()
        };
        let values = [Some("-1000"), Some("-999"), Some("9.5"), None, Some("NaN")];
        let points = values.map(|value| feature.points(value));
        assert_eq!(points, [1.5, -2.5, 1.5, 0.25, 0.25].map(Some));
    }

    #[test]
    fn points_are_those_of_the_bin() {
        let part = part();
        let points = |f: usize, value| part.features[f].points(value);
        let numbers = [Some("10"), Some("10.5"), None, Some("NaN"), Some("x")];
        let expected = [Some(1.5), Some(-2.5), Some(0.25), Some(0.25), None];
        assert_eq!(numbers.map(|v| points(0, v)), expected);
        let texts = [Some("y"), None, Some("z")];
        assert_eq!(texts.map(|v| points(1, v)), [Some(-2.5), Some(0.25), None]);
    }

    #[test]
    fn what_points_cost_is_counted_from_a_stated_reference() {
        let mut part = part();
        let feature = &mut part.features[0];
        (feature.bins[1].bad, feature.bins[1].good) = (100, 200);
        (feature.bins[2].bad, feature.bins[2].good) = (0, 0);
        feature.bins[2].points = 9.0;
        let of = |reference| feature.reference(reference);
        // The bin of 9 points had no rows.
        assert_eq!(of(Reference::Best), 1.5);
        assert_eq!(of(Reference::Mean), (100.0 * 1.5 - 300.0 * 2.5) / 400.0);
        assert_eq!(of(Reference::Neutral), 0.0);
    }

    #[test]
    fn a_part_that_is_not_this_partys_of_this_model_is_refused_by_name() {
        let directory = tempfile::tempdir().expect("a directory");
        let (home, part) = (directory.path(), part());
        let pending = Pending::write(home, "m1", &part.to_text()).expect("written");
        assert!(
            ModelPart::read(home, "m1", "bank_a").is_err(),
            "not in its place yet"
        );
        pending.keep().expect("moved");
        assert_eq!(ModelPart::read(home, "m1", "bank_a"), Ok(part.clone()));
        let said = |model: &str, party: &str| {
            let read = ModelPart::read(home, model, party);
            read.expect_err("refused").to_string()
        };
        assert!(said("m2", "bank_a").contains("bank_a: this party has no part"));
        assert!(said("m1", "bank_b").contains("bank_b: its part of the model is another party's"));
        fs::copy(home.join("m1.json"), home.join("m2.json")).expect("copied");
        assert!(said("m2", "bank_a").contains("another model"));
        let changed = part.to_text().replace("-2.5", "-1.5");
        fs::write(home.join("m1.json"), changed).expect("written");
        assert!(said("m1", "bank_a").contains("was changed"));
    }
}
