//! "Did you mean": names that are a few keystrokes away.

/// The candidates nearest to `word`, at most three, nearest first: equal but for case, or within a third of its length.
pub(crate) fn near<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let folded = word.to_lowercase();
    let limit = (folded.chars().count() / 3).max(1);
    let mut found: Vec<(usize, &str)> = candidates
        .into_iter()
        .map(|c| (distance(&folded, &c.to_lowercase(), limit), c))
        .filter(|(d, _)| *d <= limit)
        .collect();
    found.sort_unstable();
    found.dedup();
    found.truncate(3);
    found.into_iter().map(|(_, c)| c).collect()
}

/// Optimal string alignment distance (insert, delete, replace, swap neighbours); more than `limit` where it is larger.
fn distance(a: &str, b: &str, limit: usize) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    if a.len().abs_diff(b.len()) > limit {
        return limit + 1;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = above;
        above = row;
    }
    above[b.len()]
}

/// `; did you mean …?`, or nothing.
pub(crate) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> String {
    let found = near(word, candidates);
    match found.as_slice() {
        [] => String::new(),
        names => format!("; did you mean {}?", names.join(" or ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_names_a_few_keystrokes_away() {
        let known = ["time_in_hospital", "diag_group", "诊断组", "patient_id"];
        assert_eq!(near("time_in_hosptial", known), ["time_in_hospital"]);
        assert_eq!(near("DIAG_GROUP", known), ["diag_group"]);
        assert_eq!(near("诊断", known), ["诊断组"]);
        assert!(near("weight", known).is_empty());
        assert_eq!(
            did_you_mean("purpsoe", ["purpose"]),
            "; did you mean purpose?"
        );
        assert_eq!(distance("", "abc", 3), 3);
    }
}
