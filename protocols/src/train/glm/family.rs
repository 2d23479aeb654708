//! How labels depend on the linear predictor.

use super::{RESULT_BITS, Rows, Shape};
use crate::arith::{convert, copy, mul};
use crate::correlate::Stock;
use crate::error::ProtocolError;
use crate::function::fixed::{shift, shift_price};
use crate::function::{self, Format};
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::ring;
use engine::share::Share;

/// What labels are, and how their mean μ depends on η = X·β.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Numbers with a mean square of at most 1; μ = η.
    Linear,
    /// 0 or 1; μ = 1/(1 + e^−η).
    Logistic,
    /// Counts, below 256 in square mean; μ = e^η. Means are at most 64 where they decide.
    Poisson,
    /// Positive numbers, about 1; μ = e^η, variances in proportion to μ².
    Gamma,
}

impl Family {
    /// Fractional bits of labels, offsets and predictors.
    pub fn label_bits(self) -> u32 {
        match self {
            Self::Linear | Self::Logistic => 24,
            Self::Poisson | Self::Gamma => 20,
        }
    }

    /// log2 of the greatest weight.
    pub(super) fn log_weight(self) -> u32 {
        match self {
            Self::Poisson => 6,
            Self::Linear | Self::Logistic | Self::Gamma => 0,
        }
    }

    /// True if weights depend on η.
    pub fn has_weights(self) -> bool {
        matches!(self, Self::Logistic | Self::Poisson)
    }

    /// True if standard errors have a factor that is estimated from residuals: Σr²/(n − d) for r = y − μ
    /// of linear models, r = (y − μ)/μ of gamma ones.
    pub fn has_dispersion(self) -> bool {
        matches!(self, Self::Linear | Self::Gamma)
    }

    /// Whether μ is an exponential, so that steps begin at the mean.
    pub(super) fn has_log_link(self) -> bool {
        matches!(self, Self::Poisson | Self::Gamma)
    }
}

impl Shape {
    /// How η goes into a function: below 2^12 for the logistic function, 2^10 for exponentials.
    pub(in crate::train) fn predictor_format(&self) -> Format {
        let whole = if self.family.has_log_link() { 10 } else { 12 };
        Format {
            frac_bits: self.family.label_bits(),
            bound_bits: self.family.label_bits() + whole,
            method: self.method,
        }
    }

    /// How far products of two numbers of labels' bits are shifted for weights.
    fn weight_shift(&self) -> i32 {
        let product = match self.family {
            Family::Logistic => 2 * self.family.label_bits(),
            _ => self.family.label_bits(),
        };
        product.cast_signed() - self.weight_bits().cast_signed()
    }
}

/// Residuals, so that X'r is the gradient, with the labels' bits, and weights; both 0 in rows that do
/// not count.
pub(super) struct Mean {
    pub(super) residuals: Share<u64>,
    pub(super) weights: Share<u64>,
}

pub(super) async fn mean(
    session: &mut Session,
    rows: &Rows,
    eta: Share<u64>,
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Mean, ProtocolError> {
    let format = shape.predictor_format();
    let f = shape.family.label_bits();
    let mut residuals = copy(&rows.labels);
    let weights = match shape.family {
        Family::Linear => {
            let own = mul::mul(session, &rows.used, &eta, stock).await?;
            residuals.sub_assign(&own);
            copy(&rows.used)
        }
        Family::Logistic => {
            let p = function::sigmoid(session, &eta, format, stock).await?;
            let own = mul::mul(session, &rows.used, &p, stock).await?;
            residuals.sub_assign(&own);
            let square = mul::mul(session, &own, &p, stock).await?;
            let mut variance = own;
            variance.scale_public(1 << f);
            variance.sub_assign(&square);
            shift(session, variance, shape.weight_shift(), stock).await?
        }
        Family::Poisson => {
            let mu = function::exp(session, &eta, format, stock).await?;
            let own = mul::mul(session, &rows.used, &mu, stock).await?;
            residuals.sub_assign(&own);
            shift(session, own, shape.weight_shift(), stock).await?
        }
        Family::Gamma => {
            let mut eta = eta;
            eta.negate();
            let inverse = function::exp(session, &eta, format, stock).await?;
            let ratio = mul::mul(session, &rows.labels, &inverse, stock).await?;
            residuals = shift(session, ratio, f.cast_signed(), stock).await?;
            let ones = rows.used.as_slice().iter().map(|used| used << f);
            ring::sub_assign(residuals.as_mut_slice(), &ones.collect::<Vec<_>>());
            copy(&rows.used)
        }
    };
    Ok(Mean { residuals, weights })
}

/// [`mean`] where η is 0 in every row, of a family without a logarithmic link: each seat finds its own.
pub(super) fn level_mean(rows: &Rows, shape: &Shape) -> Mean {
    let mut residuals = copy(&rows.labels);
    let mut weights = copy(&rows.used);
    if shape.family == Family::Logistic {
        // p = 1/2 and p·(1 − p) = 1/4.
        let mut own = copy(&rows.used);
        own.scale_public(1 << (shape.family.label_bits() - 1));
        residuals.sub_assign(&own);
        weights.scale_public(1 << (shape.weight_bits() - 2));
    }
    Mean { residuals, weights }
}

pub(super) fn mean_price(seats: Seats, shape: &Shape) -> Price {
    let (n, format) = (shape.n_rows, shape.predictor_format());
    let product = mul::price::<u64>(seats, n);
    match shape.family {
        Family::Linear => product,
        Family::Logistic => function::sigmoid_price::<u64>(seats, n, format)
            .then(&product)
            .then(&product)
            .then(&shift_price::<u64>(seats, n, shape.weight_shift())),
        Family::Poisson => function::exp_price::<u64>(seats, n, format)
            .then(&product)
            .then(&shift_price::<u64>(seats, n, shape.weight_shift())),
        Family::Gamma => function::exp_price::<u64>(seats, n, format)
            .then(&product)
            .then(&shift_price::<u64>(
                seats,
                n,
                shape.family.label_bits().cast_signed(),
            )),
    }
}

/// Where β begins: at zero, and with a logarithmic link at the constant model, ln(Σy/Σe^offset).
pub(super) async fn start(
    session: &mut Session,
    rows: &Rows,
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Share<u128>, ProtocolError> {
    let mut beta = Share::zero(shape.n_columns);
    if !shape.family.has_log_link() {
        return Ok(beta);
    }
    let f = shape.family.label_bits();
    let exposure = match &rows.offsets {
        Some(offsets) => {
            let format = shape.predictor_format();
            let exposure = function::exp(session, offsets, format, stock).await?;
            let exposure = mul::mul(session, &rows.used, &exposure, stock).await?;
            ring::sum(exposure.as_slice())
        }
        None => ring::sum(rows.used.as_slice()) << f,
    };
    let sums = Share::new(vec![ring::sum(rows.labels.as_slice()), exposure]);
    let mut sums = convert::widen(session, &sums, shape.method, stock).await?;
    sums.scale_public(1 << (RESULT_BITS - f));
    let logs = function::log(session, &sums, sum_format(shape), stock).await?;
    let logs = logs.as_slice();
    beta.as_mut_slice()[0] = logs[0].wrapping_sub(logs[1]);
    Ok(beta)
}

/// Sums over Z_2^64, with more fractional bits.
fn sum_format(shape: &Shape) -> Format {
    Format {
        frac_bits: RESULT_BITS,
        bound_bits: 63 + RESULT_BITS - shape.family.label_bits(),
        method: shape.method,
    }
}

pub(super) fn start_price(seats: Seats, shape: &Shape) -> Price {
    if !shape.family.has_log_link() {
        return Price::nothing(seats);
    }
    let n = shape.n_rows;
    let exposure =
        match shape.has_offset {
            true => function::exp_price::<u64>(seats, n, shape.predictor_format())
                .then(&mul::price::<u64>(seats, n)),
            false => Price::nothing(seats),
        };
    exposure
        .then(&convert::widen_price(seats, 2, shape.method))
        .then(&function::log_price::<u128>(seats, 2, sum_format(shape)))
}
