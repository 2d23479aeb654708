//! Newton's steps on shares, whatever gradient and cross-products are made of.

use super::{Fitted, Shape};
use crate::arith::matmul as products;
use crate::arith::{convert, copy};
use crate::correlate::Stock;
use crate::error::ProtocolError;
use crate::function::fixed::{shift, shift_price};
use crate::price::{Price, Seats};
use crate::session::Session;
use crate::train::glm::COLUMN_BITS;
use crate::train::solve::{self, Factors};
use engine::share::Share;

/// A model that is being fitted.
pub(in crate::train) struct Newton {
    /// β, with [`RESULT_BITS`](super::RESULT_BITS).
    pub(in crate::train) beta: Share<u128>,
    factors: Option<Factors>,
    first_sound: Option<Share<u128>>,
    /// Gradient and matrix of the first step.
    first: Option<[Share<u128>; 2]>,
    /// Gradient and change of the last step.
    last: Option<[Share<u128>; 2]>,
}

impl Newton {
    pub(in crate::train) fn from(beta: Share<u128>) -> Self {
        Self {
            beta,
            factors: None,
            first_sound: None,
            first: None,
            last: None,
        }
    }

    /// One that goes on where [`standing`](Self::standing) was made.
    pub(in crate::train) fn going_on(standing: &Share<u128>) -> Self {
        let (sound, beta) = standing
            .as_slice()
            .split_last()
            .expect("the shape's length");
        Self {
            first_sound: Some(Share::new(vec![*sound])),
            ..Self::from(Share::new(beta.to_vec()))
        }
    }

    /// What another session goes on from: β, and how many columns were sound in the first system; d + 1 elements.
    pub(in crate::train) fn standing(&self) -> Share<u128> {
        let mut standing = copy(&self.beta);
        let sound = self.first_sound.as_ref().expect("there was a step");
        standing.append(copy(sound));
        standing
    }

    /// Goes from β to β + H⁻¹·g. `matrix`: H where it is another one than in the step before.
    pub(in crate::train) async fn step(
        &mut self,
        session: &mut Session,
        (gradient, matrix): (Share<u128>, Option<Share<u128>>),
        shape: &Shape,
        stock: &mut Stock,
    ) -> Result<(), ProtocolError> {
        if let Some(matrix) = matrix {
            let factors = solve::factor(session, &matrix, &shape.system(), stock).await?;
            self.first_sound.get_or_insert_with(|| copy(&factors.sound));
            self.first.get_or_insert_with(|| [copy(&gradient), matrix]);
            self.factors = Some(factors);
        }
        let factors = self.factors.as_ref().expect("the first step factors");
        let change = solve::solve(session, factors, &gradient, stock).await?;
        self.beta.add_assign(&change);
        self.last = Some([gradient, change]);
        Ok(())
    }

    /// The model after the last step, of which so many rows counted.
    pub(in crate::train) async fn ended(
        self,
        session: &mut Session,
        n_used: Share<u64>,
        shape: &Shape,
        stock: &mut Stock,
    ) -> Result<Fitted, ProtocolError> {
        let factors = self.factors.expect("the first step factors");
        let errors = solve::standard_errors(session, &factors, stock).await?;
        let [gradient, change] = self.last.expect("there is a step");
        let decrement = products::dot(session, &gradient, &change, stock).await?;
        let decrement = shift(session, decrement, decrement_shift(shape), stock).await?;
        let first_sound = self.first_sound.expect("the first step factors");
        Ok(Fitted {
            coefficients: self.beta,
            errors,
            decrement,
            first: self.first,
            squares: None,
            sound: [first_sound, factors.sound],
            n_used,
        })
    }
}

/// The declared price of [`Newton::step`].
pub(in crate::train) fn step_price(seats: Seats, shape: &Shape, is_factored: bool) -> Price {
    let system = shape.system();
    let factored = match is_factored {
        true => solve::factor_price(seats, &system),
        false => Price::nothing(seats),
    };
    factored.then(&solve::solve_price(seats, &system))
}

/// The declared price of [`Newton::ended`].
pub(in crate::train) fn ended_price(seats: Seats, shape: &Shape) -> Price {
    solve::standard_errors_price(seats, &shape.system())
        .then(&products::price::<u128>(
            seats,
            products::dot_shape(shape.n_columns),
        ))
        .then(&shift_price::<u128>(seats, 1, decrement_shift(shape)))
}

fn decrement_shift(shape: &Shape) -> i32 {
    (COLUMN_BITS + shape.family.label_bits()).cast_signed()
}

/// A symmetric matrix over Z_2^64 as one over Z_2^128: its lower half, twice.
pub(in crate::train) async fn symmetric(
    session: &mut Session,
    all: &Share<u64>,
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Share<u128>, ProtocolError> {
    let d = shape.n_columns;
    let lower = half(d).map(|(i, j)| all.as_slice()[i * d + j]);
    let lower = Share::new(lower.collect());
    let wide = convert::widen(session, &lower, shape.method, stock).await?;
    let mut both = Share::zero(d * d);
    let out = both.as_mut_slice();
    for ((i, j), value) in half(d).zip(wide.as_slice()) {
        out[i * d + j] = *value;
        out[j * d + i] = *value;
    }
    Ok(both)
}

/// The declared price of [`symmetric`].
pub(in crate::train) fn symmetric_price(seats: Seats, shape: &Shape) -> Price {
    let d = shape.n_columns;
    convert::widen_price(seats, d * (d + 1) / 2, shape.method)
}

/// The cells of the lower half of a square matrix, the diagonal included.
fn half(d: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..d).flat_map(|i| (0..=i).map(move |j| (i, j)))
}
