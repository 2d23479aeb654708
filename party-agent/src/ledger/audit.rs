//! Whether figures about some cohorts, together with those of earlier ones, tell of a few persons.
//!
//! A figure is the sum over the rows of its cohort. What somebody can work out of several figures by adding and subtracting is
//! the sum over rows with whole multiplicities: a vector in the space that the cohorts span. Two things are refused: a cohort that
//! differs from an overlapping earlier one in few persons, and cohorts whose span contains the rows of a few persons alone
//! (Chin and Özsoyoğlu, IEEE TSE 8(6), 1982). Rows that stand in the same cohorts are one column: nobody can tell them apart.

use std::collections::{BTreeMap, BTreeSet};

/// Rows that are counted in one figure, each with whose it is, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cohort(pub Vec<(u64, u64)>);

/// Why figures are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Objection {
    /// A cohort differs from an earlier one in few persons.
    Close,
    /// Some sums and differences of cohorts are few persons.
    Spanned,
    /// There are too many cohorts to be sure.
    TooMany,
}

impl Objection {
    pub(super) const fn in_words(self) -> &'static str {
        match self {
            Self::Close => {
                "a group differs from one of an earlier release in fewer persons than the minimum cell"
            }
            Self::Spanned => {
                "with what was released earlier, figures of fewer persons than the minimum cell would follow"
            }
            Self::TooMany => "there were more releases than can be held against a new one",
        }
    }
}

/// The field in which spans are computed: 2^61 − 1 is prime.
const P: u64 = (1 << 61) - 1;
/// Most multiplications of one audit.
const MAX_WORK: usize = 1 << 31;

/// What is wrong with releasing figures of `new` cohorts, which have no row in common, where those of `earlier` ones are known.
pub(super) fn objection(earlier: &[Cohort], new: &[Cohort], least: u64) -> Option<Objection> {
    // What was released before tells nothing new.
    let known: BTreeSet<&[(u64, u64)]> = earlier.iter().map(|c| c.0.as_slice()).collect();
    let new: Vec<&Cohort> = new
        .iter()
        .filter(|c| !c.0.is_empty() && !known.contains(c.0.as_slice()))
        .collect();
    let is_close = |new: &&Cohort| {
        known
            .iter()
            .any(|old| difference(&new.0, old).is_some_and(|persons| persons < least))
    };
    if new.iter().any(is_close) {
        return Some(Objection::Close);
    }
    let new = new.iter().map(|c| c.0.as_slice());
    spanned(&known.into_iter().chain(new).collect::<Vec<_>>(), least)
}

/// In how many persons two cohorts differ; `None` where they have no row in common.
fn difference(a: &[(u64, u64)], b: &[(u64, u64)]) -> Option<u64> {
    let (rows_of_a, rows_of_b): (BTreeMap<_, _>, BTreeMap<_, _>) =
        (a.iter().copied().collect(), b.iter().copied().collect());
    if !rows_of_a.keys().any(|row| rows_of_b.contains_key(row)) {
        return None;
    }
    let only = |these: &BTreeMap<u64, u64>, others: &BTreeMap<u64, u64>| {
        let rows = these.iter().filter(|(row, _)| !others.contains_key(row));
        rows.map(|(_, person)| *person).collect::<BTreeSet<u64>>()
    };
    let mut persons = only(&rows_of_a, &rows_of_b);
    persons.extend(only(&rows_of_b, &rows_of_a));
    Some(persons.len() as u64)
}

/// Whether a combination of cohorts is the rows of few persons, which stand in the same cohorts, and no cohort by itself.
fn spanned(cohorts: &[&[(u64, u64)]], least: u64) -> Option<Objection> {
    let mut memberships: BTreeMap<(u64, u64), Vec<usize>> = BTreeMap::new();
    for (place, cohort) in cohorts.iter().enumerate() {
        for row in *cohort {
            memberships.entry(*row).or_default().push(place);
        }
    }
    let mut persons: BTreeMap<Vec<usize>, BTreeSet<u64>> = BTreeMap::new();
    for ((_, person), cohorts) in memberships {
        persons.entry(cohorts).or_default().insert(person);
    }
    let atoms: Vec<(&Vec<usize>, u64)> = persons.iter().map(|(k, v)| (k, v.len() as u64)).collect();
    if cohorts
        .len()
        .saturating_mul(cohorts.len())
        .saturating_mul(atoms.len())
        > MAX_WORK
    {
        return Some(Objection::TooMany);
    }
    let mut matrix = vec![vec![0u64; atoms.len()]; cohorts.len()];
    for (column, (of, _)) in atoms.iter().enumerate() {
        of.iter().for_each(|cohort| matrix[*cohort][column] = 1);
    }
    let is_cohort = |column: usize| {
        let mut rows = cohorts.iter().enumerate();
        rows.any(|(place, _)| {
            atoms
                .iter()
                .enumerate()
                .all(|(at, (of, _))| of.contains(&place) == (at == column))
        })
    };
    let alone = alone_in_reduced(matrix);
    let tells = |column: &usize| atoms[*column].1 < least && !is_cohort(*column);
    alone.iter().any(tells).then_some(Objection::Spanned)
}

/// The columns whose unit vector is in the span of the rows: those that stand alone in a row of the reduced form.
fn alone_in_reduced(mut matrix: Vec<Vec<u64>>) -> Vec<usize> {
    let n_columns = matrix.first().map_or(0, Vec::len);
    let mut rank = 0;
    for column in 0..n_columns {
        let Some(pivot) = (rank..matrix.len()).find(|row| matrix[*row][column] != 0) else {
            continue;
        };
        matrix.swap(rank, pivot);
        let inverse = power(matrix[rank][column], P - 2);
        matrix[rank]
            .iter_mut()
            .for_each(|v| *v = times(*v, inverse));
        let lead = matrix[rank].clone();
        for (place, row) in matrix.iter_mut().enumerate() {
            let factor = row[column];
            if place == rank || factor == 0 {
                continue;
            }
            for (v, l) in row.iter_mut().zip(&lead).filter(|(_, l)| **l != 0) {
                *v = (*v + P - times(factor, *l)) % P;
            }
        }
        rank += 1;
    }
    let alone = matrix[..rank].iter().filter_map(|row| {
        let mut places = row
            .iter()
            .enumerate()
            .filter(|(_, v)| **v != 0)
            .map(|(at, _)| at);
        places.next().filter(|_| places.next().is_none())
    });
    alone.collect()
}

fn times(a: u64, b: u64) -> u64 {
    (u128::from(a) * u128::from(b) % u128::from(P)) as u64
}

fn power(base: u64, mut exponent: u64) -> u64 {
    let (mut result, mut square) = (1, base);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = times(result, square);
        }
        square = times(square, square);
        exponent >>= 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Persons with one row each.
    fn cohort(persons: impl IntoIterator<Item = u64>) -> Cohort {
        let persons: BTreeSet<u64> = persons.into_iter().collect();
        Cohort(persons.into_iter().map(|p| (1000 + p, p)).collect())
    }

    fn judged(earlier: &[Cohort], new: &[Cohort]) -> Option<Objection> {
        objection(earlier, new, 11)
    }

    #[test]
    fn a_cohort_that_leaves_out_few_is_refused_and_one_that_leaves_out_enough_is_not() {
        let all = [cohort(0..100)];
        for n in 1..11 {
            assert_eq!(
                judged(&all, &[cohort(n..100)]),
                Some(Objection::Close),
                "{n}"
            );
            assert_eq!(
                judged(&all, &[cohort(0..100 + n)]),
                Some(Objection::Close),
                "{n}"
            );
        }
        assert_eq!(judged(&all, &[cohort(11..100)]), None);
        assert_eq!(judged(&all, &[cohort(0..111)]), None);
        // Six go and six come.
        assert_eq!(judged(&all, &[cohort(6..106)]), None);
        assert_eq!(judged(&all, &[cohort(5..105)]), Some(Objection::Close));
        assert_eq!(judged(&all, &[cohort(0..100)]), None, "the same again");
        assert_eq!(judged(&all, &[cohort(200..203)]), None, "nobody in common");
    }

    #[test]
    fn persons_are_counted_and_not_rows() {
        let rows = |n: u64| Cohort((0..n).map(|row| (row, row / 20)).collect());
        // Forty rows of two persons.
        assert_eq!(judged(&[rows(400)], &[rows(360)]), Some(Objection::Close));
        assert_eq!(judged(&[rows(400)], &[rows(160)]), None);
    }

    #[test]
    fn what_three_cohorts_tell_together_is_refused_though_no_two_are_close() {
        // A, B and A ∪ B ∪ {p}: pairwise far apart.
        let (a, b) = (cohort(0..20), cohort(20..40));
        let both = cohort((0..40).chain([99]));
        assert_eq!(
            judged(&[a.clone(), b.clone()], std::slice::from_ref(&both)),
            Some(Objection::Spanned)
        );
        assert_eq!(
            judged(std::slice::from_ref(&a), std::slice::from_ref(&both)),
            None
        );
        assert_eq!(judged(&[both], &[a, b]), Some(Objection::Spanned));
    }

    #[test]
    fn a_group_that_is_small_here_is_no_fault_by_itself() {
        // The others' rows of the group are not known here, and the minimum is on all.
        assert_eq!(judged(&[], &[cohort(0..3), cohort(3..50)]), None);
        assert_eq!(
            judged(&[cohort(0..50)], &[cohort(0..3), cohort(3..50)]),
            Some(Objection::Close)
        );
    }

    #[test]
    fn too_many_releases_are_not_guessed_about() {
        let many: Vec<Cohort> = (0..2000)
            .map(|at| cohort([at, at + 5000, at + 9000]))
            .collect();
        assert_eq!(judged(&many, &[cohort(0..4000)]), Some(Objection::TooMany));
    }

    /// Random subsets, as in the attack on exact answers by equations: whatever is let through has no person's figure in its span.
    #[test]
    fn random_cohorts_stop_before_their_equations_can_be_solved() {
        let mut state = 7u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        let mut allowed: Vec<Cohort> = Vec::new();
        let mut n_refused = 0;
        for _ in 0..100 {
            let new = cohort((0..60).filter(|_| next() % 2 == 0));
            match judged(&allowed, std::slice::from_ref(&new)) {
                None => allowed.push(new),
                Some(_) => n_refused += 1,
            }
        }
        assert!(
            allowed.len() > 20 && n_refused > 20,
            "{} allowed",
            allowed.len()
        );
        let known: Vec<&[(u64, u64)]> = allowed.iter().map(|c| c.0.as_slice()).collect();
        assert_eq!(spanned(&known, 11), None);
    }
}
