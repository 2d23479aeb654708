use crate::{LENGTHS, prg};
use engine::bits;
use engine::ring::{self, Ring};
use engine::share::boolean::{BitShare, from_planes, to_planes};
use engine::share::{Share, split};

/// The sum of all shares: what only tests may compute.
fn reconstruct<R: Ring>(shares: &[Share<R>]) -> Vec<R> {
    let mut total = vec![R::ZERO; shares[0].len()];
    for share in shares {
        ring::add_assign(&mut total, share.as_slice());
    }
    total
}

fn linear_operations_commute_with_sharing<R: Ring>(label: &'static str) {
    let mut prg = prg(label);
    for len in LENGTHS {
        for n_seats in [1, 2, 3, 5, 10] {
            let (mut x, mut y) = (vec![R::ZERO; len], vec![R::ZERO; len]);
            prg.fill_ring(&mut x);
            prg.fill_ring(&mut y);
            let mut shares = split(x.clone(), n_seats, &mut prg);
            let others = split(y.clone(), n_seats, &mut prg);
            assert_eq!(reconstruct(&shares), x);

            // (3·(x + y − public) computed on shares and in the clear.
            let public = y.iter().map(|v| v.wrapping_mul(*v)).collect::<Vec<_>>();
            for (seat, (share, other)) in shares.iter_mut().zip(&others).enumerate() {
                share.add_assign(other);
                share.negate();
                share.add_public(seat, &public);
                share.negate();
                share.scale_public(R::from_u64(3));
            }
            ring::add_assign(&mut x, &y);
            ring::sub_assign(&mut x, &public);
            ring::scale(&mut x, R::from_u64(3));
            assert_eq!(reconstruct(&shares), x);

            for (share, other) in shares.iter_mut().zip(&others) {
                share.sub_assign(other);
            }
            ring::sub_assign(&mut x, &y);
            assert_eq!(reconstruct(&shares), x);
        }
    }
}

#[test]
fn linear_operations_commute_with_sharing_narrow() {
    linear_operations_commute_with_sharing::<u64>("linear narrow");
}

#[test]
fn linear_operations_commute_with_sharing_wide() {
    linear_operations_commute_with_sharing::<u128>("linear wide");
}

#[test]
fn bit_operations_commute_with_sharing() {
    let mut prg = prg("bit operations");
    for len in LENGTHS {
        let words = bits::words_for(len);
        let mut draw = || {
            let mut out = vec![0u64; words];
            prg.fill_ring(&mut out);
            out
        };
        let (x0, x1, y0, public, select) = (draw(), draw(), draw(), draw(), draw());
        let expected: Vec<u64> = (0..words)
            .map(|w| (!(x0[w] ^ x1[w] ^ y0[w]) ^ public[w]) & select[w])
            .collect();
        let mut seats = [BitShare::from_words(len, x0), BitShare::from_words(len, x1)];
        let y = [BitShare::from_words(len, y0), BitShare::zero(len)];
        for (seat, share) in seats.iter_mut().enumerate() {
            share.xor_assign(&y[seat]);
            share.not(seat);
            share.xor_public(seat, &public);
            share.and_public(&select);
        }
        let [mut total, second] = seats;
        total.xor_assign(&second);
        // from_words clears the tail of the expectation; the shares must have kept theirs clear.
        assert_eq!(
            total.into_words(),
            BitShare::from_words(len, expected).into_words()
        );
    }
}

#[test]
fn planes_hold_the_bits_of_every_value() {
    let mut prg = prg("planes");
    for len in LENGTHS {
        for n_planes in [0, 1, 33, 64] {
            let mut values = vec![0u64; len];
            prg.fill_ring(&mut values);
            let planes = to_planes(&values, n_planes);
            assert_eq!(planes.len(), n_planes);
            for (b, plane) in planes.iter().enumerate() {
                assert_eq!(plane.n_bits(), len);
                for (i, value) in values.iter().enumerate() {
                    assert_eq!(bits::get(plane.as_words(), i), value >> b & 1 == 1);
                }
            }
            let low = if n_planes == 64 {
                u64::MAX
            } else {
                (1 << n_planes) - 1
            };
            let kept: Vec<u64> = values.iter().map(|v| v & low).collect();
            let back = from_planes(&planes);
            assert_eq!(back, if n_planes == 0 { vec![] } else { kept });
        }
    }
}

#[test]
fn shares_are_split_and_appended() {
    let mut prg = prg("split and append");
    for len in LENGTHS {
        let mut values = vec![0u64; len];
        prg.fill_ring(&mut values);
        let words: Vec<u64> = values[..bits::words_for(len)].to_vec();
        for at in LENGTHS.into_iter().filter(|at| *at <= len) {
            let mut share = Share::new(values.clone());
            let tail = share.split_off(at);
            assert_eq!(
                (share.as_slice(), tail.as_slice()),
                (&values[..at], &values[at..])
            );
            share.append(tail);
            assert_eq!(share.as_slice(), values);

            let whole = BitShare::from_words(len, words.clone());
            let mut share = BitShare::from_words(len, words.clone());
            let tail = share.split_off(at);
            assert_eq!((share.n_bits(), tail.n_bits()), (at, len - at));
            share.append(tail);
            assert_eq!(share.n_bits(), len);
            assert_eq!(share.as_words(), whole.as_words(), "{len} bits cut at {at}");
        }
    }
}
