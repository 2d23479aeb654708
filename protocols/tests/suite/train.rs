//! Training on shares, held to floats and to all demands on a protocol.

mod going;
mod people;
mod solve;
mod pooled;
mod correlated;
mod glm;
mod evaluate;
mod characteristics;
mod vertical;
mod shapley;
mod hazards;
mod binned;
mod quantiles;
mod score;
mod trees;

use engine::ring::Ring;

/// Numbers with so many fractional bits, as ring elements.
fn encoded(values: &[f64], frac_bits: u32) -> Vec<u128> {
    let scale = 2f64.powi(frac_bits.cast_signed());
    let element = |v: &f64| u128::from_signed((v * scale).round() as i128).expect("fits the ring");
    values.iter().map(element).collect()
}

fn decoded(values: &[u128], frac_bits: u32) -> Vec<f64> {
    let scale = 2f64.powi(-frac_bits.cast_signed());
    values
        .iter()
        .map(|v| v.to_signed() as f64 * scale)
        .collect()
}

/// The inverse of a square matrix, row by row, with the greatest pivot of each column.
fn inverse(a: &[f64], d: usize) -> Vec<f64> {
    let mut rows: Vec<Vec<f64>> = (0..d)
        .map(|i| {
            let unit = (0..d).map(|j| f64::from(u8::from(i == j)));
            a[i * d..(i + 1) * d].iter().copied().chain(unit).collect()
        })
        .collect();
    for column in 0..d {
        let at = |i: &usize| rows[*i][column].abs();
        let best = (column..d).max_by(|x, y| at(x).total_cmp(&at(y)));
        rows.swap(column, best.expect("a row is left"));
        let pivot = rows[column][column];
        rows[column].iter_mut().for_each(|v| *v /= pivot);
        let row = rows[column].clone();
        for (_, other) in rows.iter_mut().enumerate().filter(|(i, _)| *i != column) {
            let factor = other[column];
            other
                .iter_mut()
                .zip(&row)
                .for_each(|(v, r)| *v -= factor * r);
        }
    }
    rows.into_iter().flat_map(|row| row[d..].to_vec()).collect()
}
