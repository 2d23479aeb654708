//! Eight elements at a time: one in each 64-bit lane of an AVX-512 register, with the 52-bit
//! multiplication of IFMA.
//!
//! An element is five limbs of 51 bits. Two forms:
//!
//! * [`Tight`]: limbs below 2^52, fit to be multiplied. The instructions read 52 bits of an operand.
//! * [`Wide`]: limbs below 2^62, what a multiplication leaves. Sums and differences are taken of
//!   wide elements and carried once.
//!
//! All eight lanes are multiplied by one secret, so that a conditional swap is one mask for all of
//! them. Nothing branches on, or is indexed by, a secret or an element. The portable twin is in
//! [`super::portable`]; tests compare the two.

use super::field::{A24, Field, J, MASK, P};
use super::{BATCH, Encoded, Kernel, Secret};
use std::arch::x86_64::*;
use std::hint::black_box;

/// Elements of one register.
const LANES: usize = 8;
/// Registers of one batch.
const GROUPS: usize = BATCH / LANES;

/// True on a processor with AVX-512 F, DQ and IFMA.
pub(super) fn is_able() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512ifma")
}

/// The kernel; to be used only where [`is_able`] is true, which its functions check once a batch.
pub(super) const KERNEL: Kernel = Kernel {
    multiply,
    map_and_multiply,
};

fn multiply(secret: &Secret, elements: &[Encoded], out: &mut [Encoded]) {
    assert!(is_able(), "the processor has the instructions");
    // SAFETY: the processor has the features that are enabled.
    unsafe { multiply_batch(secret, elements, out) }
}

fn map_and_multiply(secret: &Secret, fields: &[Encoded], out: &mut [Encoded]) {
    assert!(is_able(), "the processor has the instructions");
    // SAFETY: the processor has the features that are enabled.
    unsafe { map_and_multiply_batch(secret, fields, out) }
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn multiply_batch(secret: &Secret, elements: &[Encoded], out: &mut [Encoded]) {
    let mut points = [Projective::neutral(); GROUPS];
    let points = &mut points[..elements.len().div_ceil(LANES)];
    for (elements, point) in elements.chunks(LANES).zip(points.iter_mut()) {
        *point = ladder(secret, &load(elements));
    }
    divide(points);
    for (point, out) in points.iter().zip(out.chunks_mut(LANES)) {
        store(&point.x, out);
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn map_and_multiply_batch(secret: &Secret, fields: &[Encoded], out: &mut [Encoded]) {
    let mut points = [Projective::neutral(); GROUPS];
    let points = &mut points[..fields.len().div_ceil(LANES)];
    for (fields, point) in fields.chunks(LANES).zip(points.iter_mut()) {
        *point = map(&load(fields));
    }
    divide(points);
    for point in points.iter_mut() {
        *point = ladder(secret, &point.x);
    }
    divide(points);
    for (point, out) in points.iter().zip(out.chunks_mut(LANES)) {
        store(&point.x, out);
    }
}

type Limbs = [__m512i; 5];

/// Eight field elements with limbs below 2^52.
#[derive(Clone, Copy)]
struct Tight(Limbs);

/// Eight field elements with limbs below 2^62.
#[derive(Clone, Copy)]
struct Wide(Limbs);

/// Eight points x = X/Z.
#[derive(Clone, Copy)]
struct Projective {
    x: Tight,
    z: Tight,
}

impl Projective {
    #[target_feature(enable = "avx512f")]
    fn neutral() -> Self {
        Self {
            x: small(1),
            z: small(0),
        }
    }
}

/// Up to eight elements; the lanes that are left hold 9, the x-coordinate of the generator.
#[target_feature(enable = "avx512f")]
fn load(elements: &[Encoded]) -> Tight {
    let mut lanes = [[0; LANES]; 5];
    lanes[0] = [9; LANES];
    for (lane, element) in elements.iter().take(LANES).enumerate() {
        for (limbs, limb) in lanes.iter_mut().zip(Field::from_bytes(element).0) {
            limbs[lane] = limb;
        }
    }
    let mut x = small(0);
    for (limb, lanes) in x.0.iter_mut().zip(&lanes) {
        *limb = load_register(lanes);
    }
    x
}

/// The canonical bytes of as many elements as there is room for.
#[target_feature(enable = "avx512f")]
fn store(x: &Tight, out: &mut [Encoded]) {
    for (out, element) in out.iter_mut().zip(elements(x)) {
        *out = element.to_bytes();
    }
}

#[target_feature(enable = "avx512f")]
fn elements(x: &Tight) -> [Field; LANES] {
    let mut elements = [Field::ZERO; LANES];
    for (i, limbs) in x.0.iter().enumerate() {
        for (element, limb) in elements.iter_mut().zip(store_register(*limbs)) {
            element.0[i] = limb;
        }
    }
    elements
}

#[target_feature(enable = "avx512f")]
fn load_register(lanes: &[u64; LANES]) -> __m512i {
    // SAFETY: `lanes` is 64 readable bytes; the load needs no alignment.
    unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
fn store_register(x: __m512i) -> [u64; LANES] {
    let mut lanes = [0; LANES];
    // SAFETY: `lanes` is 64 writable bytes; the store needs no alignment.
    unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), x) };
    lanes
}

#[inline]
#[target_feature(enable = "avx512f")]
fn all(value: u64) -> __m512i {
    _mm512_set1_epi64(value.cast_signed())
}

/// A number below 2^51 in all lanes.
#[inline]
#[target_feature(enable = "avx512f")]
fn small(value: u64) -> Tight {
    Tight([all(value), all(0), all(0), all(0), all(0)])
}

/// Moves what exceeds 51 bits one limb up, all limbs at once. From limbs below 2^62: the limbs are
/// below 2^51 + 2^11, the lowest one below 2^51 + 19·2^11.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn carry(x: &Wide) -> Tight {
    let (mut over, mut kept) = (x.0, x.0);
    for (over, kept) in over.iter_mut().zip(&mut kept) {
        *over = _mm512_srli_epi64::<51>(*over);
        *kept = _mm512_and_si512(*kept, all(MASK));
    }
    Tight([
        _mm512_madd52lo_epu64(kept[0], over[4], all(19)),
        _mm512_add_epi64(kept[1], over[0]),
        _mm512_add_epi64(kept[2], over[1]),
        _mm512_add_epi64(kept[3], over[2]),
        _mm512_add_epi64(kept[4], over[3]),
    ])
}

/// A sum of two products, or of tight elements.
#[inline]
#[target_feature(enable = "avx512f")]
fn add(x: &Limbs, y: &Limbs) -> Wide {
    let mut sum = *x;
    for (sum, y) in sum.iter_mut().zip(y) {
        *sum = _mm512_add_epi64(*sum, *y);
    }
    Wide(sum)
}

/// A difference, with 2^`SHIFT`·p added so that no limb is negative: those of `y` must be below
/// 2^(51 + `SHIFT`) − 19·2^`SHIFT`.
#[inline]
#[target_feature(enable = "avx512f")]
fn subtract<const SHIFT: u32>(x: &Limbs, y: &Limbs) -> Wide {
    let mut difference = *x;
    for ((difference, y), p) in difference.iter_mut().zip(y).zip(P) {
        let raised = _mm512_add_epi64(*difference, all(p << SHIFT));
        *difference = _mm512_sub_epi64(raised, *y);
    }
    Wide(difference)
}

/// 2^10·p: covers a product, whose limbs are below 20·15·2^52 < 2^60.3.
const PRODUCT: u32 = 10;
/// 2·p: covers a tight element.
const TIGHT: u32 = 1;

/// Limb `K` of the product of ten limbs. A product of limbs has 104 bits: the lower 52 count
/// 2^(51(i+j)), and the upper ones twice 2^(51(i+j+1)). Below 15·2^52.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn column<const K: usize>(a: &Limbs, b: &Limbs) -> __m512i {
    let mut sum = all(0);
    for i in 0..5 {
        if K > i && K - 1 - i < 5 {
            sum = _mm512_madd52hi_epu64(sum, a[i], b[K - 1 - i]);
        }
    }
    sum = _mm512_add_epi64(sum, sum);
    for i in 0..5 {
        if K >= i && K - i < 5 {
            sum = _mm512_madd52lo_epu64(sum, a[i], b[K - i]);
        }
    }
    sum
}

/// The same for a square: products of different limbs are made once and doubled.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn square_column<const K: usize>(a: &Limbs) -> __m512i {
    let mut sum = all(0);
    for i in 0..5 {
        if K > 2 * i + 1 && K - 1 - i < 5 {
            sum = _mm512_madd52hi_epu64(sum, a[i], a[K - 1 - i]);
        }
    }
    sum = _mm512_add_epi64(sum, sum);
    if K % 2 == 1 {
        sum = _mm512_madd52hi_epu64(sum, a[K / 2], a[K / 2]);
    }
    for i in 0..5 {
        if K > 2 * i && K - i < 5 {
            sum = _mm512_madd52lo_epu64(sum, a[i], a[K - i]);
        }
    }
    sum = _mm512_add_epi64(sum, sum);
    if K.is_multiple_of(2) && K < 10 {
        sum = _mm512_madd52lo_epu64(sum, a[K / 2], a[K / 2]);
    }
    sum
}

/// The upper five limbs count 2^255 = 19 times the lower ones.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn fold(low: &Limbs, high: &Limbs) -> Wide {
    let mut sum = *low;
    for (sum, high) in sum.iter_mut().zip(high) {
        *sum = _mm512_add_epi64(*sum, _mm512_mullo_epi64(*high, all(19)));
    }
    Wide(sum)
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn mul(a: &Tight, b: &Tight) -> Wide {
    let (a, b) = (&a.0, &b.0);
    let low = [
        column::<0>(a, b),
        column::<1>(a, b),
        column::<2>(a, b),
        column::<3>(a, b),
        column::<4>(a, b),
    ];
    let high = [
        column::<5>(a, b),
        column::<6>(a, b),
        column::<7>(a, b),
        column::<8>(a, b),
        column::<9>(a, b),
    ];
    fold(&low, &high)
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn square(a: &Tight) -> Wide {
    let a = &a.0;
    let low = [
        square_column::<0>(a),
        square_column::<1>(a),
        square_column::<2>(a),
        square_column::<3>(a),
        square_column::<4>(a),
    ];
    let high = [
        square_column::<5>(a),
        square_column::<6>(a),
        square_column::<7>(a),
        square_column::<8>(a),
        square_column::<9>(a),
    ];
    fold(&low, &high)
}

/// x + f·y for a factor f below 2^17.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn add_scaled(x: &Tight, f: u64, y: &Tight) -> Wide {
    let f = all(f);
    let mut over = y.0;
    for limb in &mut over {
        *limb = _mm512_madd52hi_epu64(all(0), *limb, f);
        *limb = _mm512_add_epi64(*limb, *limb);
    }
    let [over @ .., top] = over;
    let mut sum = x.0;
    sum[0] = _mm512_madd52lo_epu64(sum[0], top, all(19));
    for (sum, over) in sum[1..].iter_mut().zip(&over) {
        *sum = _mm512_add_epi64(*sum, *over);
    }
    for (sum, limb) in sum.iter_mut().zip(&y.0) {
        *sum = _mm512_madd52lo_epu64(*sum, *limb, f);
    }
    Wide(sum)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn select(a: &Tight, b: &Tight, take_b: __mmask8) -> Tight {
    let mut taken = a.0;
    for (taken, b) in taken.iter_mut().zip(&b.0) {
        *taken = _mm512_mask_blend_epi64(take_b, *taken, *b);
    }
    Tight(taken)
}

/// A point as the ladder leaves it.
#[derive(Clone, Copy)]
struct Loose {
    x: Wide,
    z: Wide,
}

impl Loose {
    /// x + z and x − z: all that the ladder needs of a point.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn sums(&self) -> (Tight, Tight) {
        let sum = add(&self.x.0, &self.z.0);
        let difference = subtract::<PRODUCT>(&self.x.0, &self.z.0);
        (carry(&sum), carry(&difference))
    }
}

/// Twice a point, from its sum and difference.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn double((sum, difference): (Tight, Tight)) -> Loose {
    let (aa, bb) = (carry(&square(&sum)), carry(&square(&difference)));
    let e = carry(&subtract::<TIGHT>(&aa.0, &bb.0));
    let f = carry(&add_scaled(&aa, A24, &e));
    Loose {
        x: mul(&aa, &bb),
        z: mul(&e, &f),
    }
}

/// RFC 7748, §5, for secrets whose bit 254 is set and whose bits 0 to 2 are not.
///
/// Between two bits, the points are R and R + P. Of the two, `doubled` is what the last bit doubled
/// and `added` is their sum. The next bit doubles `doubled` if it is equal, else `added`. The sum
/// of the two is the same in either order, because (DA − CB) is squared: only what is doubled has
/// to be selected.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn ladder(secret: &Secret, x: &Tight) -> Projective {
    let point = Loose {
        x: Wide(x.0),
        z: Wide(small(1).0),
    };
    let (mut doubled, mut added) = (double(point.sums()), point);
    let mut last = 1;
    for i in (3..254).rev() {
        let bit = secret.bit(i);
        let mask = black_box((bit ^ last).wrapping_neg());
        last = bit;
        let ((a, b), (c, d)) = (doubled.sums(), added.sums());
        let (da, cb) = (mul(&d, &a), mul(&c, &b));
        let sum = carry(&add(&da.0, &cb.0));
        let difference = carry(&subtract::<PRODUCT>(&da.0, &cb.0));
        added = Loose {
            x: square(&sum),
            z: mul(x, &carry(&square(&difference))),
        };
        doubled = double((select(&a, &c, mask), select(&b, &d, mask)));
    }
    // The last bit doubled R + P if it was set: then R is the sum.
    let mask = black_box(last.wrapping_neg());
    let mut low = Loose {
        x: Wide(select(&carry(&doubled.x), &carry(&added.x), mask).0),
        z: Wide(select(&carry(&doubled.z), &carry(&added.z), mask).0),
    };
    for _ in 0..3 {
        low = double(low.sums());
    }
    Projective {
        x: carry(&low.x),
        z: carry(&low.z),
    }
}

/// Elligator 2 to the x-coordinate; [`super::portable`] has the formulas.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn map(u: &Tight) -> Projective {
    let one = small(1);
    let square_of_u = carry(&square(u));
    let twice = carry(&add(&square_of_u.0, &square_of_u.0));
    let denominator = carry(&add(&one.0, &twice.0));
    let first = carry(&subtract::<TIGHT>(&small(0).0, &small(J).0));
    // d² + J²·(1 − d), where 1 − d = −2u²
    let negative = carry(&subtract::<TIGHT>(&small(0).0, &twice.0));
    let scaled = mul(&small(J * J), &negative);
    let inner = carry(&add(&square(&denominator).0, &scaled.0));
    let product = product(&product(&first, &denominator), &inner);
    let is_first = is_square(&product);
    Projective {
        x: select(&self::product(&first, &twice), &first, is_first),
        z: denominator,
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn product(a: &Tight, b: &Tight) -> Tight {
    carry(&mul(a, b))
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn square_times(x: &Tight, n: u32) -> Tight {
    let mut x = *x;
    for _ in 0..n {
        x = carry(&square(&x));
    }
    x
}

/// x^(2^250 − 1), x^2 and x^11, as in [`Field`].
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn powers(x: &Tight) -> [Tight; 3] {
    let two = square_times(x, 1);
    let nine = product(&square_times(&two, 2), x);
    let eleven = product(&nine, &two);
    let to_5 = product(&square_times(&eleven, 1), &nine);
    let to_10 = product(&square_times(&to_5, 5), &to_5);
    let to_20 = product(&square_times(&to_10, 10), &to_10);
    let to_40 = product(&square_times(&to_20, 20), &to_20);
    let to_50 = product(&square_times(&to_40, 10), &to_10);
    let to_100 = product(&square_times(&to_50, 50), &to_50);
    let to_200 = product(&square_times(&to_100, 100), &to_100);
    [product(&square_times(&to_200, 50), &to_50), two, eleven]
}

/// The lanes that are squares.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn is_square(x: &Tight) -> __mmask8 {
    let [most, two, _] = powers(x);
    let six = product(&square_times(&two, 1), &two);
    let power = product(&square_times(&most, 4), &six);
    !is_zero(&carry(&add(&power.0, &small(1).0)))
}

/// The lanes that are 0.
#[target_feature(enable = "avx512f")]
fn is_zero(x: &Tight) -> __mmask8 {
    let lanes = elements(x).map(|element| element.is_zero().unwrap_u8());
    (0..LANES).fold(0, |mask, lane| mask | lanes[lane] << lane)
}

/// Makes X/Z of every point in place, with one inversion for all (Montgomery's trick); 0 where Z is 0.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn divide(points: &mut [Projective]) {
    let mut products = [small(1); GROUPS];
    let mut so_far = small(1);
    for (point, before) in points.iter_mut().zip(&mut products) {
        let zeros = is_zero(&point.z);
        point.x = select(&point.x, &small(0), zeros);
        point.z = select(&point.z, &small(1), zeros);
        *before = so_far;
        so_far = product(&so_far, &point.z);
    }
    let [most, _, eleven] = powers(&so_far);
    let mut inverse = product(&square_times(&most, 5), &eleven);
    for (point, before) in points.iter_mut().zip(&products).rev() {
        point.x = product(&point.x, &product(&inverse, before));
        inverse = product(&inverse, &point.z);
    }
}
