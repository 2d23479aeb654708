//! Published vectors, curve25519-dalek as an independent reference, and the twins against each other.

use super::*;
use crate::prg::Seed;
use curve25519_dalek::MontgomeryPoint;

fn hex(text: &str) -> [u8; 32] {
    std::array::from_fn(|i| u8::from_str_radix(&text[2 * i..][..2], 16).unwrap())
}

/// A number as the RFC on hashing prints it.
fn number(text: &str) -> [u8; 32] {
    let mut bytes = hex(text);
    bytes.reverse();
    bytes
}

fn prg(label: u8) -> Prg {
    println!("seed {label}");
    Prg::new(&Seed::from_bytes([label; 32]), 0)
}

/// Every kernel that this processor can run.
fn kernels() -> Vec<(&'static str, Kernel)> {
    let mut all = vec![("portable", PORTABLE)];
    #[cfg(target_arch = "x86_64")]
    if ifma::is_able() {
        all.push(("ifma", ifma::KERNEL));
    }
    all
}

fn random(prg: &mut Prg, n: usize) -> Vec<[u8; 32]> {
    let mut all = vec![[0; 32]; n];
    for bytes in &mut all {
        prg.fill_bytes(bytes);
        bytes[31] &= 0x7f;
    }
    all
}

fn multiply(kernel: Kernel, secret: &Secret, elements: &[Encoded]) -> Vec<Encoded> {
    let mut out = vec![[0xff; 32]; elements.len()];
    (kernel.multiply)(secret, elements, &mut out);
    out
}

/// RFC 7748, §5.2, in every lane, among random elements.
#[test]
fn the_vectors_of_rfc_7748() {
    let vectors = [
        (
            "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
            "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
        ),
        (
            "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
            "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a413",
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
        ),
    ];
    let others = random(&mut prg(1), 8);
    for (name, kernel) in kernels() {
        for (secret, element, expected) in vectors {
            let secret = Secret::clamped(hex(secret));
            for lane in 0..8 {
                let mut elements = others.clone();
                elements[lane] = hex(element);
                let out = multiply(kernel, &secret, &elements);
                assert_eq!(out[lane], hex(expected), "{name}, lane {lane}");
            }
        }
    }
}

/// RFC 7748, §5.2: each result is the next secret, and each secret the next element. A thousand
/// times, in another lane each time.
#[test]
fn the_iterated_vector_of_rfc_7748() {
    let mut nine = [0; 32];
    nine[0] = 9;
    for (name, kernel) in kernels() {
        let (mut k, mut u) = (nine, nine);
        for i in 0..1000 {
            let mut elements = [nine; 8];
            elements[i % 8] = u;
            elements[i % 8][31] &= 0x7f;
            let out = multiply(kernel, &Secret::clamped(k), &elements)[i % 8];
            (k, u) = (out, k);
            if i == 0 {
                let once = "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079";
                assert_eq!(k, hex(once), "{name}");
            }
        }
        let thousandth = "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51";
        assert_eq!(k, hex(thousandth), "{name}");
    }
}

/// RFC 9380, J.4.2: the field element, and the point before the cofactor is cleared. The point
/// after it is 8·Q, so k·P = 8k·Q for the clamped k/8, which the ladder computes.
#[test]
fn the_vectors_of_rfc_9380() {
    let vectors = [
        (
            "",
            "608d892b641f0328523802a6603427c26e55e6f27e71a91a478148d45b5093cd",
            "51125222da5e763d97f3c10fcc92ea6860b9ccbbd2eb1285728f566721c1e65b",
        ),
        (
            "abc",
            "46f5b22494bfeaa7f232cc8d054be68561af50230234d7d1d63d1d9abeca8da5",
            "7d56d1e08cb0ccb92baf069c18c49bb5a0dcd927eff8dcf75ca921ef7f3e6eeb",
        ),
        (
            "abcdef0123456789",
            "235fe40c443766ce7e18111c33862d66c3b33267efa50d50f9e8e5d252a40aaa",
            "3fbe66b9c9883d79e8407150e7c2a1c8680bee496c62fabe4619a72b3cabe90f",
        ),
    ];
    let expander = Expander::new(&[b"QUUX-V01-CS02-with-curve25519_XMD:SHA-512_ELL2_NU_"]);
    let secret = Secret::clamped(random(&mut prg(2), 1)[0]);
    for (message, field, point) in vectors {
        let u = hash_to_field(&expander, message.as_bytes());
        assert_eq!(u, number(field));
        assert_eq!(portable::map_to_curve(&u), number(point));
        let expected = MontgomeryPoint(number(point)).mul_clamped(secret.0).0;
        for (name, kernel) in kernels() {
            let mut out = [[0; 32]; 9];
            (kernel.map_and_multiply)(&secret, &[u; 9], &mut out);
            assert_eq!(out, [expected; 9], "{name}");
        }
    }
}

/// Numbers at the edges of limbs and of the field.
fn edges() -> Vec<[u8; 32]> {
    let mut edges = vec![number(&format!("7f{}ec", "f".repeat(60)))];
    for bit in (0..255).chain([50, 51, 52, 102, 153, 204]) {
        let mut power = [0; 32];
        power[bit / 8] = 1 << (bit % 8);
        let mut below = [0xff; 32];
        below[31] = 0x7f;
        below[bit / 8] ^= 1 << (bit % 8);
        edges.extend([power, below]);
    }
    edges
}

#[test]
fn every_kernel_multiplies_as_dalek_does() {
    let mut prg = prg(3);
    for n in [0, 1, 2, 7, 8, 9, 63, 255, 256] {
        let secret = Secret::clamped(random(&mut prg, 1)[0]);
        let elements = random(&mut prg, n);
        let expected = elements
            .iter()
            .map(|x| MontgomeryPoint(*x).mul_clamped(secret.0).0);
        let expected: Vec<_> = expected.collect();
        for (name, kernel) in kernels() {
            assert_eq!(
                multiply(kernel, &secret, &elements),
                expected,
                "{name}, {n}"
            );
        }
    }
    let secret = Secret::clamped(random(&mut prg, 1)[0]);
    for elements in edges().chunks(256) {
        for (name, kernel) in kernels() {
            let out = multiply(kernel, &secret, elements);
            for (x, out) in elements.iter().zip(out) {
                let expected = MontgomeryPoint(*x).mul_clamped(secret.0).0;
                assert_eq!(out, expected, "{name}, {x:?}");
            }
        }
    }
}

/// Secrets of all zeros, all ones and single bits, as far as clamping leaves them.
#[test]
fn every_bit_of_a_secret_counts() {
    let elements = random(&mut prg(4), 8);
    let mut secrets = vec![[0; 32], [0xff; 32]];
    secrets.extend((0..256).map(|bit| {
        let mut secret = [0; 32];
        secret[bit / 8] = 1 << (bit % 8);
        secret
    }));
    for bytes in secrets {
        let secret = Secret::clamped(bytes);
        for (name, kernel) in kernels() {
            let out = multiply(kernel, &secret, &elements);
            for (x, out) in elements.iter().zip(out) {
                let expected = MontgomeryPoint(*x).mul_clamped(bytes).0;
                assert_eq!(out, expected, "{name}, {bytes:?}");
            }
        }
    }
}

#[test]
fn every_kernel_maps_to_the_same_points_and_never_to_the_twist() {
    let mut prg = prg(5);
    let mut fields = random(&mut prg, 500);
    fields.extend([[0; 32], hex(&format!("01{}", "0".repeat(62)))]);
    fields.extend(edges());
    let fields: Vec<_> = fields.into_iter().filter(is_canonical).collect();
    let secret = Secret::clamped(random(&mut prg, 1)[0]);
    for fields in fields.chunks(256) {
        let points: Vec<_> = fields.iter().map(portable::map_to_curve).collect();
        let on_curve = |x: &Encoded| MontgomeryPoint(*x).to_edwards(0).is_some();
        assert!(points.iter().all(on_curve));
        for (name, kernel) in kernels() {
            let mut out = vec![[0; 32]; fields.len()];
            (kernel.map_and_multiply)(&secret, fields, &mut out);
            assert_eq!(out, multiply(kernel, &secret, &points), "{name}");
            assert_eq!(out, multiply(PORTABLE, &secret, &points), "{name}");
        }
    }
}

/// The x-coordinates of small order on the curve and its twist, below p.
const SMALL_ORDER: [&str; 5] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

/// One bad element among many makes no other one wrong, and is found.
#[test]
fn small_order_gives_zero_and_is_refused() {
    let mut prg = prg(6);
    let secret = Montgomery::secret(&mut prg);
    let good = random(&mut prg, 20);
    for bad in SMALL_ORDER {
        for index in [0, 7, 8, 19] {
            let mut elements = good.clone();
            elements[index] = hex(bad);
            for (name, kernel) in kernels() {
                let mut expected = multiply(kernel, &secret, &good);
                expected[index] = [0; 32];
                assert_eq!(multiply(kernel, &secret, &elements), expected, "{name}");
            }
            let mut out = vec![[0; 32]; 20];
            let refused = Montgomery::mask_elements_into(&secret, &elements, &mut out);
            assert_eq!(refused, Err(ElementError::SmallOrder { index }));
        }
    }
}

#[test]
fn encodings_of_p_and_more_are_refused() {
    let mut prg = prg(7);
    let secret = Montgomery::secret(&mut prg);
    let good = random(&mut prg, 3);
    let p = number(&format!("7f{}ed", "f".repeat(60)));
    let p_and_9 = number(&format!("7f{}f6", "f".repeat(60)));
    let mut top_bit = good[0];
    top_bit[31] |= 0x80;
    for bad in [p, p_and_9, [0xff; 32], top_bit] {
        let elements = [good[0], good[1], bad];
        let refused = Montgomery::mask_elements_into(&secret, &elements, &mut [[0; 32]; 3]);
        assert_eq!(refused, Err(ElementError::NotCanonical { index: 2 }));
    }
}
