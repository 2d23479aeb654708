//! Which keys of this holder all tables of a join have: a file of its own beside the result, which goes to other receivers too.

use std::path::Path;

use zeroize::Zeroizing;

use super::ResultError;
use super::document::csv_text;
use super::file::write_private;

/// The file's name.
pub const MATCHED_KEYS_FILE: &str = "matched-keys.csv";

/// The keys, as they stand in this holder's table.
pub struct MatchedKeys {
    /// Columns of a key.
    pub n_columns: usize,
    /// The keys: none where they are fewer than may be shown.
    pub keys: Zeroizing<Vec<Vec<String>>>,
}

impl MatchedKeys {
    /// How many there are.
    #[must_use]
    pub fn n_keys(&self) -> u64 {
        self.keys.len() as u64
    }

    /// One line a key below a header, in UTF-8.
    fn to_csv(&self) -> Zeroizing<String> {
        let header = match self.n_columns {
            1 => vec!["key".to_owned()],
            n => (1..=n).map(|column| format!("key_{column}")).collect(),
        };
        let mut csv = Zeroizing::new(String::new());
        for line in std::iter::once(&header).chain(self.keys.iter()) {
            let fields: Vec<String> = line.iter().map(|text| csv_text(text)).collect();
            csv.push_str(&fields.join(","));
            csv.push('\n');
        }
        csv
    }

    /// Writes them into a directory, readable by their owner alone.
    ///
    /// # Errors
    /// [`ResultError::Write`].
    pub fn save(&self, dir: &Path) -> Result<(), ResultError> {
        write_private(&dir.join(MATCHED_KEYS_FILE), self.to_csv().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_line_whatever_is_in_it() {
        let of = |n_columns: usize, keys: &[&[&str]]| {
            let keys = keys.iter().map(|key| key.iter().map(|t| (*t).to_owned()));
            let keys = Zeroizing::new(keys.map(Iterator::collect).collect());
            MatchedKeys { n_columns, keys }.to_csv().to_string()
        };
        assert_eq!(of(1, &[]), "key\n");
        assert_eq!(
            of(1, &[&["0007"], &["a,\"b\""]]),
            "key\n0007\n\"a,\"\"b\"\"\"\n"
        );
        assert_eq!(of(2, &[&["x", "1"]]), "key_1,key_2\nx,1\n");
    }
}
