//! One element at a time, on any processor.

use super::field::{A24, Field, J};
use super::{BATCH, Encoded, Secret};
use subtle::Choice;

/// x(k·P) for each x(P) of a batch.
pub(super) fn multiply(secret: &Secret, elements: &[Encoded], out: &mut [Encoded]) {
    let mut points = [Projective::NEUTRAL; BATCH];
    let points = &mut points[..elements.len()];
    for (element, point) in elements.iter().zip(points.iter_mut()) {
        *point = ladder(secret, Field::from_bytes(element));
    }
    encode(points, out);
}

/// x(k·Q) for the points Q that these field elements are mapped to.
pub(super) fn map_and_multiply(secret: &Secret, fields: &[Encoded], out: &mut [Encoded]) {
    let mut points = [Projective::NEUTRAL; BATCH];
    let points = &mut points[..fields.len()];
    for (field, point) in fields.iter().zip(points.iter_mut()) {
        *point = map(Field::from_bytes(field));
    }
    encode(points, out);
    let mapped = out.to_vec();
    multiply(secret, &mapped, out);
}

/// X/Z for each point with one inversion for all (Montgomery's trick); 0 where Z is 0.
fn encode(points: &[Projective], out: &mut [Encoded]) {
    let nonzero = |z: Field| Field::select(z, Field::ONE, z.is_zero());
    let mut products = [Field::ONE; BATCH];
    let mut product = Field::ONE;
    for (point, before) in points.iter().zip(&mut products) {
        *before = product;
        product = product * nonzero(point.z);
    }
    let mut inverse = product.invert();
    for ((point, before), out) in points.iter().zip(&products).zip(out).rev() {
        let quotient = point.x * inverse * *before;
        *out = Field::select(quotient, Field::ZERO, point.z.is_zero()).to_bytes();
        inverse = inverse * nonzero(point.z);
    }
}

/// Elligator 2 (RFC 9380, §6.7.1, Z = 2) to the x-coordinate, as a fraction.
///
/// x1 = −J/(1 + 2u²) is taken if it lies on the curve, and x2 = −x1 − J = 2u²·x1 if not. With d =
/// 1 + 2u², which is never 0, x1 lies on the curve if −J·d·(d² + J²·(1 − d)) is a square: that is
/// d⁴ times the right-hand side of the curve's equation.
fn map(u: Field) -> Projective {
    let j = Field::small(J);
    let twice = u.square() + u.square();
    let denominator = Field::ONE + twice;
    let first = Field::ZERO - j;
    let inner = denominator.square() + j.square() * (Field::ONE - denominator);
    let is_first = (first * denominator * inner).is_square();
    Projective {
        x: Field::select(first * twice, first, is_first),
        z: denominator,
    }
}

/// A point x = X/Z.
#[derive(Clone, Copy)]
struct Projective {
    x: Field,
    z: Field,
}

impl Projective {
    const NEUTRAL: Self = Self {
        x: Field::ONE,
        z: Field::ZERO,
    };

    /// x + z and x − z: all that the ladder needs of a point.
    fn sums(self) -> (Field, Field) {
        (self.x + self.z, self.x - self.z)
    }

    fn select(a: Self, b: Self, choice: Choice) -> Self {
        Self {
            x: Field::select(a.x, b.x, choice),
            z: Field::select(a.z, b.z, choice),
        }
    }
}

/// RFC 7748, §5: one differential addition and one doubling for each bit of the secret.
fn ladder(secret: &Secret, x: Field) -> Projective {
    let mut low = Projective::NEUTRAL;
    let mut high = Projective { x, z: Field::ONE };
    for i in (0..255).rev() {
        let bit = Choice::from(secret.bit(i));
        let doubled = double(Projective::select(low, high, bit));
        let added = add(low, high, x);
        low = Projective::select(doubled, added, bit);
        high = Projective::select(added, doubled, bit);
    }
    low
}

fn double(p: Projective) -> Projective {
    let (sum, difference) = p.sums();
    let (aa, bb) = (sum.square(), difference.square());
    let e = aa - bb;
    Projective {
        x: aa * bb,
        z: e * (aa + Field::small(A24) * e),
    }
}

/// The sum of two points whose difference has the coordinate x.
fn add(p: Projective, q: Projective, x: Field) -> Projective {
    let ((a, b), (c, d)) = (p.sums(), q.sums());
    let (da, cb) = (d * a, c * b);
    Projective {
        x: (da + cb).square(),
        z: x * (da - cb).square(),
    }
}

/// The x-coordinate that a field element is mapped to.
#[cfg(test)]
pub(super) fn map_to_curve(u: &Encoded) -> Encoded {
    let mut out = [[0; 32]];
    encode(&[map(Field::from_bytes(u))], &mut out);
    out[0]
}
