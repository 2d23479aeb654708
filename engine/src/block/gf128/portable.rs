//! GF(2^128) without special instructions, in constant time.

use super::Block;

/// x^128 = x^7 + x^2 + x + 1.
const POLYNOMIAL: u64 = 0x87;

pub(super) fn mul(a: Block, b: Block) -> Block {
    let (a1, a0) = ((a.0 >> 64) as u64, a.0 as u64);
    let (b1, b0) = ((b.0 >> 64) as u64, b.0 as u64);
    let low = product(a0, b0);
    let high = product(a1, b1);
    // Karatsuba and Ofman: one product for both middle ones.
    let middle = product(a0 ^ a1, b0 ^ b1) ^ low ^ high;
    reduce(high ^ middle >> 64, low ^ middle << 64)
}

/// high·x^128 + low.
fn reduce(high: u128, low: u128) -> Block {
    let top = product((high >> 64) as u64, POLYNOMIAL);
    let bottom = product(high as u64 ^ (top >> 64) as u64, POLYNOMIAL);
    Block(low ^ top << 64 ^ bottom)
}

/// The product of two polynomials. The upper half is the lower half of the mirrored polynomials'
/// product, mirrored.
fn product(a: u64, b: u64) -> u128 {
    let low = lower_half(a, b);
    let mirrored = lower_half(a.reverse_bits(), b.reverse_bits());
    let high = mirrored.reverse_bits() >> 1;
    u128::from(high) << 64 | u128::from(low)
}

/// The lower half of the product, from integer products of numbers with holes: each has a bit in
/// every fourth place, so at most 16 terms meet in one place and their carry stays out of the next
/// place that counts. (After Pornin, BearSSL.)
fn lower_half(a: u64, b: u64) -> u64 {
    const HOLES: u64 = 0x1111_1111_1111_1111;
    let part = |x: u64| [0, 1, 2, 3].map(|shift| x & (HOLES << shift));
    let (a, b) = (part(a), part(b));
    let mut sum = 0;
    for place in 0..4 {
        let mut terms = 0;
        for (i, a) in a.iter().enumerate() {
            terms ^= a.wrapping_mul(b[(place + 4 - i) % 4]);
        }
        sum |= terms & (HOLES << place);
    }
    sum
}
