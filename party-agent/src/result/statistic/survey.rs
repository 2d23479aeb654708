//! Histograms and matrices of correlations.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use engine::glm::solve::Factor;
use protocols::aggregate::Released;

use super::super::ResultError;
use super::{Groups, Made, counts, floats, undefined};

/// All bins, in the order of edges; NULL where the minimum holds a bin back.
pub(super) fn histogram(groups: &Groups<'_>, released: &Released) -> Result<Made, ResultError> {
    let n = groups.counts(1)?;
    let known = groups.known(1, &n)?;
    let of_rows: BTreeMap<String, u64> = groups
        .texts(0)?
        .into_iter()
        .zip(n)
        .filter_map(|(bin, n)| Some((bin?, n)))
        .collect();
    let bins = groups.plan.keys.first().map_or(&[][..], |key| &key.domain);
    let bins = bins.iter().enumerate();
    let bins: Vec<(usize, &String)> = bins
        .filter_map(|(slot, b)| Some((slot, b.as_ref()?)))
        .collect();
    let found = bins.iter().map(|&(slot, bin)| {
        let n = of_rows.get(bin).copied().unwrap_or(0);
        released.ok[slot].then_some(n)
    });
    let found: Vec<Option<u64>> = found.collect();
    Ok(Made {
        n_used: found.iter().flatten().sum(),
        values: vec![
            texts(bins.iter().map(|(_, bin)| bin.as_str())),
            counts(found),
        ],
        dropped: known.dropped,
        notes: Vec::new(),
    })
}

/// One row for each pair of columns.
pub(super) fn correlations(
    groups: &Groups<'_>,
    ranks: bool,
    released: &Released,
) -> Result<Made, ResultError> {
    if groups.rows.num_rows() != 1 {
        let (what, fix) = ("has no rows to go by", "widen WHERE");
        return Err(undefined(groups.statistic, what, fix));
    }
    let names = &groups.statistic.arguments;
    let pairs = (0..names.len()).flat_map(|i| (i..names.len()).map(move |j| (i, j)));
    let pairs: Vec<(usize, usize)> = pairs.filter(|(i, j)| !ranks || i != j).collect();
    let mut values: Vec<ArrayRef> = vec![
        texts(pairs.iter().map(|(i, _)| names[*i].as_str())),
        texts(pairs.iter().map(|(_, j)| names[*j].as_str())),
    ];
    let one = |index: usize| Ok::<_, ResultError>(groups.floats(index)?.first().copied().flatten());
    let every = |first: usize, step: usize| {
        let found = (0..pairs.len()).map(|pair| one(first + step * pair));
        found.collect::<Result<Vec<_>, _>>()
    };
    let n_used = match ranks {
        true => {
            values.push(floats(every(0, 1)?));
            released.narrow[0].iter().sum()
        }
        false => {
            let n = groups.counts(0)?.first().copied();
            values.push(counts(vec![n; pairs.len()]));
            values.push(floats(every(1, 3)?));
            let correlations = every(2, 3)?;
            let inflation = inflation(names.len(), &correlations);
            values.push(floats(correlations));
            let of_pair = |(i, j): &(usize, usize)| inflation.get(*i).filter(|_| i == j).copied();
            values.push(floats(pairs.iter().map(of_pair)));
            n.unwrap_or(0)
        }
    };
    Ok(Made {
        values,
        n_used,
        dropped: BTreeMap::new(),
        notes: Vec::new(),
    })
}

/// 1/(1 − R²) of each column by all others and a constant: the diagonal of the correlations' inverse. None where a correlation is not
/// known, or a column is a combination of others. `correlations`: of pairs, row by row, as a symmetric matrix has them in its upper half.
fn inflation(n_columns: usize, correlations: &[Option<f64>]) -> Vec<f64> {
    let known: Option<Vec<f64>> = correlations.iter().copied().collect();
    let factor = known.and_then(|known| Factor::new(&known, n_columns).ok());
    let inverse = factor.map(|factor| factor.inverse()).unwrap_or_default();
    inverse.iter().enumerate().map(|(i, row)| row[i]).collect()
}

fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}
