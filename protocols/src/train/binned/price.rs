//! What a model of features in bins takes and sends.

use super::{MARGIN_BITS, Shape, quantiles_cost, quantiles_price};
use crate::arith::compare;
use crate::arith::matmul as products;
use crate::boolean;
use crate::cost::Cost;
use crate::disclose;
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::psi::circuit;
use crate::train::evaluate::characteristics;
use crate::train::{glm, vertical};
use engine::bits;

/// The declared price of [`quantiles`](super::quantiles), [`count`](super::count) and [`Counted::fit`](super::Counted::fit) but for revealing.
pub fn price(seats: Seats, shape: &Shape) -> Price {
    quantiles_price(seats, shape).then(&model_price(seats, shape))
}

/// That of [`count`](super::count) and [`Counted::fit`](super::Counted::fit).
pub(super) fn model_price(seats: Seats, shape: &Shape) -> Price {
    let (model, method) = (shape.model(), shape.of.method);
    let n_margins = shape.n_margins();
    let opened = Price::of_cost(boolean::open_cost(
        seats.n_seats,
        seats.n_computing,
        bits::words_for(n_margins),
    ));
    let mut price = circuit::price(seats, &shape.join())
        .then(&products::price::<u64>(seats, shape.counts()))
        .then(&compare::less_than_zero_price::<u64>(
            seats,
            n_margins,
            MARGIN_BITS,
            method,
        ))
        .then(&opened)
        .then(&products::price::<u64>(seats, shape.weighing()));
    for number in (0..shape.n_models()).rev() {
        let evaluated = vertical::figures_price(seats, &model, shape.evaluations(number));
        let fitted = glm::fit_price(seats, &shape.numbered(number));
        price = price.then(&fitted).then(&evaluated);
    }
    if let Some(of) = shape.spreads() {
        price = price.then(&characteristics::price(seats, &of));
    }
    price.then(&glm::release_price(seats, &model, shape.n_figures()))
}

/// The declared cost of what [`quantiles`](super::quantiles), [`count`](super::count), [`Counted::rank`](super::Counted::rank), [`Counted::edges`](super::Counted::edges) and [`Counted::fit`](super::Counted::fit) reveal.
pub fn release_cost(seats: Seats, shape: &Shape, receivers: &[Seat]) -> Cost {
    let Seats {
        n_seats,
        n_computing,
    } = seats;
    let everybody: Vec<Seat> = Seat::first(n_computing).collect();
    let mut cost = quantiles_cost(seats, shape);
    for place in 0..shape.of.tables.len() {
        let learners = shape.learners(place, receivers);
        let told = shape.n_told(place);
        let own = (shape.features_of(place).count(), [shape.of.tables[place].0]);
        cost = cost
            .then(&disclose::cost(n_seats, n_computing, told, 0, &learners))
            .then(&disclose::cost(n_seats, n_computing, 0, own.0, &own.1));
    }
    if shape.tells_edges {
        let n_words = shape.n_bins();
        cost = cost.then(&disclose::cost(n_seats, n_computing, n_words, 0, receivers));
    }
    let n_features = shape.bins.len();
    cost.then(&disclose::cost(
        n_seats,
        n_computing,
        n_features,
        0,
        &everybody,
    ))
    .then(&glm::release_cost(
        seats,
        &shape.model(),
        shape.n_figures(),
        receivers,
    ))
}
