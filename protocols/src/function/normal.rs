//! Normalisation: a positive number as a fraction in a fixed interval times a power of two.

use super::Format;
use super::fixed::{mul_shift, mul_shift_price};
use crate::arith::compare::Method;
use crate::arith::{circuit, convert};
use crate::boolean::Planes;
use crate::correlate::{Stock, StockedRing};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::bits;
use engine::ring::{self, Ring};
use engine::share::Share;
use engine::share::boolean::BitShare;

/// Whether the power of two may be any, or one of four, so that it has a root.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    One,
    Two,
}

/// How the positions of a number's highest bit are grouped: a window at the top for each power.
#[derive(Clone, Copy)]
pub(crate) struct Windows {
    /// Bits of the numbers.
    n_bits: u32,
    /// B: windows begin below position B.
    pub(crate) top: u32,
    step: Step,
}

impl Windows {
    pub(crate) fn new(format: Format, step: Step) -> Self {
        let n_bits = format.bound_bits;
        // With steps of two, B − f must be even for the result to have a root.
        let odd = (n_bits + format.frac_bits) % 2;
        let top = match step {
            Step::One => n_bits,
            Step::Two => n_bits + odd,
        };
        Self { n_bits, top, step }
    }

    fn width(self) -> u32 {
        match self.step {
            Step::One => 1,
            Step::Two => 2,
        }
    }

    /// Number of windows.
    pub(super) fn count(self) -> u32 {
        self.top.div_ceil(self.width())
    }

    /// The positions of a window, counted from the top, that are positions of the number.
    fn positions(self, window: u32) -> impl Iterator<Item = usize> {
        let high = (self.top - 1 - window * self.width()) as usize;
        let low = high.saturating_sub(self.width() as usize - 1);
        let n_bits = self.n_bits as usize;
        (low..=high).filter(move |i| *i < n_bits)
    }
}

/// Normalised numbers: x = c·2^B/v.
pub(super) struct Normal<R: Ring> {
    /// With w fractional bits: in [1/2, 1), with steps of two in [1/4, 1).
    pub(super) c: Share<R>,
    /// For each window from the top, whether the highest bit of x lies in it. If x is zero, nowhere.
    windows: Vec<Share<R>>,
}

impl<R: Ring> Normal<R> {
    /// Σ weight(window)·[the highest bit lies in it].
    pub(super) fn weighted(&self, weight: impl Fn(u32) -> R) -> Share<R> {
        weighted(&self.windows, weight)
    }
}

/// Σ weight(window)·[the highest bit lies in it], of what [`highest`] found.
pub(crate) fn weighted<R: Ring>(windows: &[Share<R>], weight: impl Fn(u32) -> R) -> Share<R> {
    let mut sum = Share::zero(windows[0].len());
    for (number, window) in (0..).zip(windows) {
        ring::add_scaled(sum.as_mut_slice(), window.as_slice(), weight(number));
    }
    sum
}

/// Normalises numbers in (0, 2^b).
///
/// The window of the highest bit, and then v = 2^(the number of places to the top) from it.
pub(super) async fn normalise<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    format: Format,
    windows: Windows,
    stock: &mut Stock,
) -> Result<Normal<R>, ProtocolError> {
    let hot = highest(session, x, windows, format.method, stock).await?;
    let v = weighted(&hot, |window| R::ONE.shl(window * windows.width()));
    let c = mul_shift(session, x, &v, to_working::<R>(format, windows), stock).await?;
    Ok(Normal { c, windows: hot })
}

/// For each window from the top, whether the highest bit of each number in [0, 2^b) lies in it; of zero,
/// nowhere.
///
/// The bits of x, then for each position whether all bits from there up are zero, then the position of
/// the highest bit as one of many bits.
pub(crate) async fn highest<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    windows: Windows,
    method: Method,
    stock: &mut Stock,
) -> Result<Vec<Share<R>>, ProtocolError> {
    let n_bits = windows.n_bits as usize;
    let planes = convert::a2b(session, x, n_bits, method, stock).await?;
    let flip = if session.seat() == Seat(0) {
        u64::MAX
    } else {
        0
    };
    // From the top down, so that a prefix is what lies above.
    let mut zeros = Planes::zero(x.len(), n_bits);
    for (i, plane) in planes.iter().rev().enumerate() {
        for (out, word) in zeros.plane_mut(i).iter_mut().zip(plane.as_words()) {
            *out = word ^ flip;
        }
    }
    let zeros = circuit::all_prefixes(session, zeros, n_bits, stock).await?;
    let highest = |position: usize, out: &mut [u64]| {
        let from_top = n_bits - 1 - position;
        bits::xor_assign(out, zeros.plane(from_top));
        match from_top {
            0 => out.iter_mut().for_each(|word| *word ^= flip),
            _ => bits::xor_assign(out, zeros.plane(from_top - 1)),
        }
    };
    let in_window = |window: u32| {
        let mut words = vec![0; zeros.n_words()];
        windows
            .positions(window)
            .for_each(|i| highest(i, &mut words));
        BitShare::from_words(x.len(), words)
    };
    let hot: Vec<BitShare> = (0..windows.count()).map(in_window).collect();
    let hot: Vec<&BitShare> = hot.iter().collect();
    convert::planes_to_arith(session, &hot, stock).await
}

/// The price of [`highest`].
pub(crate) fn highest_price<R: StockedRing>(
    seats: Seats,
    n_items: usize,
    windows: Windows,
    method: Method,
) -> Price {
    let n_bits = windows.n_bits as usize;
    let prefixes = circuit::all_prefixes_levels(n_bits);
    convert::a2b_price::<R>(seats, n_items, n_bits, method)
        .then(&circuit::price(seats, &prefixes, n_items))
        .then(&convert::planes_price::<R>(
            seats,
            n_items,
            windows.count() as usize,
        ))
}

/// How far x·v, whose highest bit is at the top, is shifted for w fractional bits.
fn to_working<R: Ring>(format: Format, windows: Windows) -> i32 {
    windows.top.cast_signed() - format.working_bits::<R>().cast_signed()
}

pub(super) fn price<R: StockedRing>(
    seats: Seats,
    n_items: usize,
    format: Format,
    windows: Windows,
) -> Price {
    let shift = to_working::<R>(format, windows);
    highest_price::<R>(seats, n_items, windows, format.method)
        .then(&mul_shift_price::<R>(seats, n_items, shift))
}
