//! Looking for tables by what their holders say of them.

use super::{ColumnEntry, TableEntry};

impl TableEntry {
    /// Whether each of these words stands in the table's name, its holder's, its note, or in a column's name, unit, class or uses.
    /// Case does not count. No words find everything.
    #[must_use]
    pub fn answers_to(&self, name: &str, words: &str) -> bool {
        let mut text = vec![name.to_lowercase()];
        text.extend(self.note.iter().map(|note| note.to_lowercase()));
        for column in &self.columns {
            text.push(column.name.to_lowercase());
            text.extend(column.unit.iter().map(|unit| unit.to_lowercase()));
            text.extend(column.class.map(|class| class.as_str().to_lowercase()));
            text.extend(column.uses_in_words());
        }
        let mut words = words.split_whitespace().map(str::to_lowercase);
        words.all(|word| text.iter().any(|text| text.contains(&word)))
    }
}

impl ColumnEntry {
    /// What may be done with it, in the words of policies.
    #[must_use]
    pub fn uses_in_words(&self) -> Vec<String> {
        let uses = &self.uses;
        let flags = [
            ("filter", uses.filter),
            ("group_by", uses.group_by),
            ("join_key", uses.join_key),
            ("join_size", uses.join_size),
            ("join_keys", uses.join_keys),
            ("row_level", uses.row_level),
            ("label", uses.label),
            ("feature", uses.feature),
            ("publish", uses.publish),
        ];
        let flags = flags.into_iter().filter(|(_, may)| *may);
        let functions = uses.aggregate.iter().map(|function| function.as_str());
        let words = flags.map(|(name, _)| name).chain(functions);
        words.map(str::to_owned).collect()
    }
}
