use crate::prg;
use engine::block::{Block, gf128};
use engine::okvs::{Okvs, OkvsError, Size};
use engine::prg::{Prg, Seed};

fn random(n: usize, prg: &mut Prg) -> Vec<Block> {
    let mut values = vec![0u128; n];
    prg.fill_ring(&mut values);
    values.into_iter().map(Block).collect()
}

fn layout(size: Size, prg: &mut Prg) -> Okvs {
    Okvs::new(size, &Seed::random(prg))
}

#[test]
fn every_stored_key_decodes_to_its_value() {
    let mut prg = prg("OKVS round trip");
    let sizes = (0..40).chain([100, 1000, 4096, 32_767, 32_768, 32_769, 100_003, 140_000]);
    for n in sizes {
        for is_filled in [false, true] {
            let okvs = layout(Size::new(n), &mut prg);
            let (keys, values) = (random(n, &mut prg), random(n, &mut prg));
            let filler = is_filled.then_some(&mut prg);
            let store = okvs.encode(&keys, &values, filler).unwrap();
            assert_eq!(store.len(), okvs.size().columns());
            assert!(
                okvs.decode(&store, &keys) == values,
                "{n} keys, filled: {is_filled}"
            );
            let mut backwards = keys.clone();
            backwards.reverse();
            let decoded = okvs.decode(&store, &backwards);
            assert!(
                decoded.iter().rev().eq(&values),
                "{n} keys in another order"
            );
        }
    }
}

/// Keys need not be random: the hash is what makes rows of them.
#[test]
fn keys_may_be_anything_but_equal() {
    let mut prg = prg("OKVS structured keys");
    let n = 5000;
    let okvs = layout(Size::new(n), &mut prg);
    let keys: Vec<Block> = (0..n as u128).map(Block).collect();
    let values = random(n, &mut prg);
    let store = okvs.encode(&keys, &values, None).unwrap();
    assert!(okvs.decode(&store, &keys) == values);
}

#[test]
fn a_store_with_room_to_spare_holds_fewer_keys() {
    let mut prg = prg("OKVS fewer");
    let okvs = layout(Size::new(3000), &mut prg);
    let (keys, values) = (random(17, &mut prg), random(17, &mut prg));
    let store = okvs.encode(&keys, &values, None).unwrap();
    assert!(okvs.decode(&store, &keys) == values);
}

#[test]
fn decoding_is_linear() {
    let mut prg = prg("OKVS linearity");
    let okvs = layout(Size::new(2000), &mut prg);
    let (p, q) = (
        random(okvs.size().columns(), &mut prg),
        random(okvs.size().columns(), &mut prg),
    );
    let keys = random(3000, &mut prg);
    let factor = Block(0xdead_beef << 60 | 1);
    let mut sum = p.clone();
    gf128::add_scaled(&mut sum, &q, factor);
    let mut expected = okvs.decode(&p, &keys);
    gf128::add_scaled(&mut expected, &okvs.decode(&q, &keys), factor);
    assert!(okvs.decode(&sum, &keys) == expected);
}

/// χ² of all bytes against the uniform distribution: 255 degrees of freedom.
fn chi_square(blocks: &[Block]) -> f64 {
    let mut histogram = [0u64; 256];
    for byte in blocks.iter().flat_map(|block| block.to_bytes()) {
        histogram[usize::from(byte)] += 1;
    }
    let expected = histogram.iter().sum::<u64>() as f64 / 256.0;
    let terms = histogram
        .iter()
        .map(|n| (*n as f64 - expected).powi(2) / expected);
    terms.sum()
}

#[test]
fn keys_that_are_not_stored_decode_to_noise() {
    let mut prg = prg("OKVS non-members");
    let n = 20_000;
    let okvs = layout(Size::new(n), &mut prg);
    let (keys, values) = (random(n, &mut prg), random(n, &mut prg));
    let store = okvs.encode(&keys, &values, Some(&mut prg)).unwrap();
    let others = random(n, &mut prg);
    let decoded = okvs.decode(&store, &others);
    assert!(chi_square(&decoded) < 368.0);
    assert!(decoded.iter().zip(&values).all(|(a, b)| a != b));
    // A filled store looks the same whatever is stored, even under values that are all alike.
    assert!(chi_square(&store) < 368.0);
    let same = okvs.encode(&keys, &values, Some(&mut prg)).unwrap();
    assert!(store != same, "free columns are drawn anew");
}

#[test]
fn a_key_that_comes_twice_is_refused() {
    let mut prg = prg("OKVS duplicates");
    for n in [2, 3, 100, 50_000] {
        let mut keys = random(n, &mut prg);
        let values = random(n, &mut prg);
        keys[n - 1] = keys[n / 3];
        let okvs = layout(Size::new(n), &mut prg);
        assert_eq!(
            okvs.encode(&keys, &values, None).err(),
            Some(OkvsError::Duplicate),
            "{n} keys"
        );
        // Even where the values agree: whoever has sets has no duplicates.
        let same = vec![Block(1); n];
        assert_eq!(
            okvs.encode(&keys, &same, None).err(),
            Some(OkvsError::Duplicate)
        );
        for every in [vec![keys[0]; n], [&keys[..n / 2], &keys[..n / 2]].concat()] {
            let n = every.len();
            let outcome = okvs.encode(&every, &values[..n], None).err();
            assert!(n < 2 || outcome == Some(OkvsError::Duplicate), "{n} keys");
        }
    }
}

/// Encoding fails no more often than σ says. σ is reduced until failures can be counted, and dense
/// columns in reserve are part of the size; the bound is the 99 % point of so many failures.
#[test]
fn encoding_fails_no_more_often_than_promised() {
    let mut prg = prg("OKVS failures");
    for (n_keys, cluster, sigma, n_runs) in [
        (256, 1 << 15, 4, 20_000),
        (256, 1 << 15, 8, 20_000),
        (1000, 1 << 15, 8, 5000),
        (2000, 500, 8, 2000),
    ] {
        let size = Size::insecure_with(n_keys, cluster, sigma);
        let mut n_failed = 0;
        for _ in 0..n_runs {
            let okvs = layout(size, &mut prg);
            let (keys, values) = (random(n_keys, &mut prg), random(n_keys, &mut prg));
            match okvs.encode(&keys, &values, None) {
                Ok(store) => assert!(okvs.decode(&store, &keys[..5]) == values[..5]),
                Err(error) => {
                    assert_eq!(error, OkvsError::Unlucky);
                    n_failed += 1;
                }
            }
        }
        let mean = f64::from(n_runs) / f64::from(1 << sigma);
        let most = mean + 2.6 * mean.sqrt();
        println!("{n_keys} keys, σ = {sigma}: {n_failed} of {n_runs} failed, {mean} expected");
        assert!(
            f64::from(n_failed) <= most,
            "{n_failed} failures, at most {most}"
        );
    }
}
