//! The vectors of RFC 9497, A.1, and everything that a server or a client can get wrong.

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digit = |i: usize| u8::from_str_radix(&text[2 * i..][..2], 16).expect("hexadecimal digits");
    (0..text.len() / 2).map(digit).collect()
}

fn array(text: &str) -> [u8; 32] {
    hex(text).try_into().expect("32 bytes")
}

fn scalar(text: &str) -> Scalar {
    Scalar::from_canonical_bytes(array(text)).expect("a scalar")
}

fn prg(label: u8) -> Prg {
    println!("seed {label}");
    Prg::new(&Seed::from_bytes([label; 32]), 0)
}

/// One vector of the RFC. A proof has its nonce in front of it.
struct Vector {
    mode: Mode,
    secret: &'static str,
    public: Option<&'static str>,
    inputs: &'static [&'static str],
    blinds: &'static [&'static str],
    blinded: &'static [&'static str],
    evaluated: &'static [&'static str],
    outputs: &'static [&'static str],
    proof: Option<(&'static str, &'static str)>,
}

/// RFC 9497, A.1.1 and A.1.2.
const VECTORS: [Vector; 5] = [
    Vector {
        mode: Mode::Base,
        secret: "5ebcea5ee37023ccb9fc2d2019f9d7737be85591ae8652ffa9ef0f4d37063b0e",
        public: None,
        inputs: &["00"],
        blinds: &["64d37aed22a27f5191de1c1d69fadb899d8862b58eb4220029e036ec4c1f6706"],
        blinded: &["609a0ae68c15a3cf6903766461307e5c8bb2f95e7e6550e1ffa2dc99e412803c"],
        evaluated: &["7ec6578ae5120958eb2db1745758ff379e77cb64fe77b0b2d8cc917ea0869c7e"],
        outputs: &[
            "527759c3d9366f277d8c6020418d96bb393ba2afb20ff90df23fb7708264e2f3ab9135e3bd69955851de4b1f9fe8a0973396719b7912ba9ee8aa7d0b5e24bcf6",
        ],
        proof: None,
    },
    Vector {
        mode: Mode::Base,
        secret: "5ebcea5ee37023ccb9fc2d2019f9d7737be85591ae8652ffa9ef0f4d37063b0e",
        public: None,
        inputs: &["5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"],
        blinds: &["64d37aed22a27f5191de1c1d69fadb899d8862b58eb4220029e036ec4c1f6706"],
        blinded: &["da27ef466870f5f15296299850aa088629945a17d1f5b7f5ff043f76b3c06418"],
        evaluated: &["b4cbf5a4f1eeda5a63ce7b77c7d23f461db3fcab0dd28e4e17cecb5c90d02c25"],
        outputs: &[
            "f4a74c9c592497375e796aa837e907b1a045d34306a749db9f34221f7e750cb4f2a6413a6bf6fa5e19ba6348eb673934a722a7ede2e7621306d18951e7cf2c73",
        ],
        proof: None,
    },
    Vector {
        mode: Mode::Verifiable,
        secret: "e6f73f344b79b379f1a0dd37e07ff62e38d9f71345ce62ae3a9bc60b04ccd909",
        public: Some("c803e2cc6b05fc15064549b5920659ca4a77b2cca6f04f6b357009335476ad4e"),
        inputs: &["00"],
        blinds: &["64d37aed22a27f5191de1c1d69fadb899d8862b58eb4220029e036ec4c1f6706"],
        blinded: &["863f330cc1a1259ed5a5998a23acfd37fb4351a793a5b3c090b642ddc439b945"],
        evaluated: &["aa8fa048764d5623868679402ff6108d2521884fa138cd7f9c7669a9a014267e"],
        outputs: &[
            "b58cfbe118e0cb94d79b5fd6a6dafb98764dff49c14e1770b566e42402da1a7da4d8527693914139caee5bd03903af43a491351d23b430948dd50cde10d32b3c",
        ],
        proof: Some((
            "222a5e897cf59db8145db8d16e597e8facb80ae7d4e26d9881aa6f61d645fc0e",
            "ddef93772692e535d1a53903db24367355cc2cc78de93b3be5a8ffcc6985dd066d4346421d17bf5117a2a1ff0fcb2a759f58a539dfbe857a40bce4cf49ec600d",
        )),
    },
    Vector {
        mode: Mode::Verifiable,
        secret: "e6f73f344b79b379f1a0dd37e07ff62e38d9f71345ce62ae3a9bc60b04ccd909",
        public: Some("c803e2cc6b05fc15064549b5920659ca4a77b2cca6f04f6b357009335476ad4e"),
        inputs: &["5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"],
        blinds: &["64d37aed22a27f5191de1c1d69fadb899d8862b58eb4220029e036ec4c1f6706"],
        blinded: &["cc0b2a350101881d8a4cba4c80241d74fb7dcbfde4a61fde2f91443c2bf9ef0c"],
        evaluated: &["60a59a57208d48aca71e9e850d22674b611f752bed48b36f7a91b372bd7ad468"],
        outputs: &[
            "8a9a2f3c7f085b65933594309041fc1898d42d0858e59f90814ae90571a6df60356f4610bf816f27afdd84f47719e480906d27ecd994985890e5f539e7ea74b6",
        ],
        proof: Some((
            "222a5e897cf59db8145db8d16e597e8facb80ae7d4e26d9881aa6f61d645fc0e",
            "401a0da6264f8cf45bb2f5264bc31e109155600babb3cd4e5af7d181a2c9dc0a67154fabf031fd936051dec80b0b6ae29c9503493dde7393b722eafdf5a50b02",
        )),
    },
    Vector {
        mode: Mode::Verifiable,
        secret: "e6f73f344b79b379f1a0dd37e07ff62e38d9f71345ce62ae3a9bc60b04ccd909",
        public: Some("c803e2cc6b05fc15064549b5920659ca4a77b2cca6f04f6b357009335476ad4e"),
        inputs: &["00", "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"],
        blinds: &[
            "64d37aed22a27f5191de1c1d69fadb899d8862b58eb4220029e036ec4c1f6706",
            "222a5e897cf59db8145db8d16e597e8facb80ae7d4e26d9881aa6f61d645fc0e",
        ],
        blinded: &[
            "863f330cc1a1259ed5a5998a23acfd37fb4351a793a5b3c090b642ddc439b945",
            "90a0145ea9da29254c3a56be4fe185465ebb3bf2a1801f7124bbbadac751e654",
        ],
        evaluated: &[
            "aa8fa048764d5623868679402ff6108d2521884fa138cd7f9c7669a9a014267e",
            "cc5ac221950a49ceaa73c8db41b82c20372a4c8d63e5dded2db920b7eee36a2a",
        ],
        outputs: &[
            "b58cfbe118e0cb94d79b5fd6a6dafb98764dff49c14e1770b566e42402da1a7da4d8527693914139caee5bd03903af43a491351d23b430948dd50cde10d32b3c",
            "8a9a2f3c7f085b65933594309041fc1898d42d0858e59f90814ae90571a6df60356f4610bf816f27afdd84f47719e480906d27ecd994985890e5f539e7ea74b6",
        ],
        proof: Some((
            "419c4f4f5052c53c45f3da494d2b67b220d02118e0857cdbcf037f9ea84bbe0c",
            "cc203910175d786927eeb44ea847328047892ddf8590e723c37205cb74600b0a5ab5337c8eb4ceae0494c2cf89529dcf94572ed267473d567aeed6ab873dee08",
        )),
    },
];

#[test]
fn the_vectors_of_rfc_9497() {
    for v in &VECTORS {
        let key = ServerKey::derive(v.mode, &Seed::from_bytes([0xa3; 32]), b"test key").unwrap();
        assert_eq!(key.secret, scalar(v.secret));
        assert!(v.public.is_none_or(|public| *key.public() == array(public)));

        let inputs: Vec<Vec<u8>> = v.inputs.iter().map(|x| hex(x)).collect();
        let blinds = Blinds(v.blinds.iter().map(|r| scalar(r)).collect());
        let client = Client::with_blinds(v.mode, inputs.clone(), blinds).unwrap();
        let arrays = |all: &[&str]| all.iter().map(|x| array(x)).collect::<Vec<_>>();
        assert_eq!(client.blinded(), arrays(v.blinded));

        let nonce = v.proof.map_or(Scalar::ONE, |(nonce, _)| scalar(nonce));
        let answer = key.evaluate_with(client.blinded(), &nonce).unwrap();
        assert_eq!(answer.elements, arrays(v.evaluated));
        assert_eq!(
            answer.proof.map(Vec::from),
            v.proof.map(|(_, proof)| hex(proof))
        );

        let outputs = client.finish(&answer, key.public()).unwrap();
        let own = key.evaluate(&inputs).unwrap();
        for ((output, own), expected) in outputs.iter().zip(&own).zip(v.outputs) {
            assert_eq!(output.as_bytes()[..], hex(expected));
            assert_eq!(own.as_bytes(), output.as_bytes());
        }
    }
}

fn inputs(n: usize) -> Vec<[u8; 8]> {
    (0..n as u64).map(u64::to_le_bytes).collect()
}

/// Batches around those of one thread: what client and server compute is the same.
#[test]
fn both_sides_compute_the_same_function() {
    let mut prg = prg(1);
    for mode in [Mode::Base, Mode::Verifiable] {
        let key = ServerKey::derive(mode, &Seed::random(&mut prg), b"").unwrap();
        for n in [0, 1, 63, 64, 65, 200] {
            let client = Client::new(mode, inputs(n), &mut prg).unwrap();
            let answer = key.evaluate_blinded(client.blinded(), &mut prg).unwrap();
            assert_eq!(answer.proof.is_some(), mode == Mode::Verifiable);
            let outputs = client.finish(&answer, key.public()).unwrap();
            let own = key.evaluate(&inputs(n)).unwrap();
            assert_eq!(outputs.len(), n);
            assert!(
                own.iter()
                    .zip(&outputs)
                    .all(|(a, b)| a.as_bytes() == b.as_bytes())
            );
        }
    }
}

/// The same input is another element every time, and another mode or key another function.
#[test]
fn questions_and_functions_are_unlinkable() {
    let mut prg = prg(2);
    let ask = |prg: &mut Prg| Client::new(Mode::Base, inputs(5), prg).unwrap();
    let (first, second) = (ask(&mut prg), ask(&mut prg));
    assert!(
        first
            .blinded()
            .iter()
            .all(|b| !second.blinded().contains(b))
    );
    let seed = Seed::random(&mut prg);
    let keys = [
        (Mode::Base, &b"1"[..]),
        (Mode::Base, b"2"),
        (Mode::Verifiable, b"1"),
    ];
    let outputs = keys.map(|(mode, info)| {
        let key = ServerKey::derive(mode, &seed, info).unwrap();
        *key.evaluate(&[b"x"]).unwrap()[0].as_bytes()
    });
    assert_ne!(outputs[0], outputs[1]);
    assert_ne!(outputs[0], outputs[2]);
}

/// Strings that are no element (RFC 9496, A.2: not canonical, negative, not on the curve), and 0.
const BAD: [&str; 6] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371",
];

#[test]
fn malformed_elements_are_refused_on_both_sides() {
    let mut prg = prg(3);
    let key = ServerKey::derive(Mode::Base, &Seed::random(&mut prg), b"").unwrap();
    for bad in BAD.map(array) {
        let client = Client::new(Mode::Base, inputs(70), &mut prg).unwrap();
        let mut blinded = client.blinded().to_vec();
        let mut answer = key.evaluate_blinded(&blinded, &mut prg).unwrap();
        blinded[66] = bad;
        answer.elements[67] = bad;
        let expected = |index| {
            Some(OprfError::Element(match bad == [0; 32] {
                true => ElementError::SmallOrder { index },
                false => ElementError::NotCanonical { index },
            }))
        };
        assert_eq!(key.evaluate_blinded(&blinded, &mut prg).err(), expected(66));
        assert_eq!(client.finish(&answer, key.public()).err(), expected(67));
    }
}

#[test]
fn another_number_of_elements_is_refused() {
    let mut prg = prg(4);
    let key = ServerKey::derive(Mode::Verifiable, &Seed::random(&mut prg), b"").unwrap();
    for found in [0, 2, 4] {
        let client = Client::new(Mode::Verifiable, inputs(3), &mut prg).unwrap();
        let other = Client::new(Mode::Verifiable, inputs(found), &mut prg).unwrap();
        let answer = key.evaluate_blinded(other.blinded(), &mut prg).unwrap();
        let expected = OprfError::Length { expected: 3, found };
        assert_eq!(client.finish(&answer, key.public()).err(), Some(expected));
    }
}

/// Another key for one element or for all, another proof, none, one for other elements, and every
/// flipped byte of a good one.
#[test]
fn a_proof_holds_for_what_it_was_made_for_alone() {
    let mut prg = prg(5);
    let mode = Mode::Verifiable;
    let key = ServerKey::derive(mode, &Seed::random(&mut prg), b"").unwrap();
    let other_key = ServerKey::derive(mode, &Seed::random(&mut prg), b"").unwrap();
    let mut check = |spoil: &dyn Fn(&mut Evaluation, &[Encoded], &mut Prg)| {
        let client = Client::new(mode, inputs(4), &mut prg).unwrap();
        let blinded = client.blinded().to_vec();
        let mut answer = key.evaluate_blinded(&blinded, &mut prg).unwrap();
        spoil(&mut answer, &blinded, &mut prg);
        client.finish(&answer, key.public()).err()
    };
    let failed = Some(OprfError::Proof);
    assert_eq!(check(&|_, _, _| ()), None);
    assert_eq!(check(&|answer, _, _| answer.proof = None), failed);
    assert_eq!(check(&|answer, _, _| answer.elements.swap(1, 2)), failed);
    assert_eq!(
        check(&|answer, blinded, _| answer.elements[3] = blinded[3]),
        failed
    );
    let with_other_key = |answer: &mut Evaluation, blinded: &[Encoded], prg: &mut Prg| {
        *answer = other_key.evaluate_blinded(blinded, prg).unwrap();
    };
    assert_eq!(check(&with_other_key), failed);
    let one_with_other_key = |answer: &mut Evaluation, blinded: &[Encoded], prg: &mut Prg| {
        answer.elements[0] = other_key.evaluate_blinded(blinded, prg).unwrap().elements[0];
    };
    assert_eq!(check(&one_with_other_key), failed);
    for byte in 0..PROOF_BYTES {
        let flip = |answer: &mut Evaluation, _: &[Encoded], _: &mut Prg| {
            answer.proof.as_mut().expect("a proof")[byte] ^= 0x10;
        };
        assert_eq!(check(&flip), failed, "byte {byte}");
    }
}

#[test]
fn what_is_too_long_is_refused() {
    let mut prg = prg(6);
    let key = ServerKey::derive(Mode::Base, &Seed::random(&mut prg), b"").unwrap();
    let long = vec![vec![0; 1 << 16]];
    assert_eq!(key.evaluate(&long).err(), Some(OprfError::TooLong));
    assert_eq!(
        Client::new(Mode::Base, long, &mut prg).err(),
        Some(OprfError::TooLong)
    );
    let many = vec![[0; 32]; MAX_BATCH + 1];
    let refused = key.evaluate_blinded(&many, &mut prg).err();
    assert_eq!(refused, Some(OprfError::TooLong));
    let info = vec![0; 1 << 16];
    let refused = ServerKey::derive(Mode::Base, &Seed::random(&mut prg), &info).err();
    assert_eq!(refused, Some(OprfError::TooLong));
}
