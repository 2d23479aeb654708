//! Canonical JSON: vectors, and what is refused.

use coordinator::contract::canonical::{CanonicalError, decode, encode};
use serde::{Deserialize, Serialize};
use serde_json::json;

const LIMIT: usize = 1 << 16;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    b: i64,
    a: String,
    list: Vec<u8>,
    map: std::collections::BTreeMap<String, Option<bool>>,
}

fn sample() -> Sample {
    let map = [("z".to_owned(), None), ("B".to_owned(), Some(true))].into();
    Sample {
        b: -3,
        a: "é\"\\/\u{1}\n病".into(),
        list: vec![1, 2],
        map,
    }
}

const SAMPLE: &str = r#"{"a":"é\"\\/\u0001\n病","b":-3,"list":[1,2],"map":{"B":true,"z":null}}"#;

#[test]
fn known_values_have_known_bytes() {
    assert_eq!(
        String::from_utf8(encode(&sample()).unwrap()).unwrap(),
        SAMPLE
    );
    let vectors = [
        // RFC 8785 §3.2.2.2: the string escapes of the example, as code points.
        (
            json!("\u{20ac}$\u{f}\nA'\u{42}\u{22}\u{5c}\\\"/"),
            r#""€$\u000f\nA'B\"\\\\\"/""#,
        ),
        (
            json!({"1": {"f": {"f": "hi", "F": 5}, "\n": 56}, "10": {}, "": "empty", "a": {}, "111": [], "A": {}}),
            // RFC 8785, test data "structures.json", without its floats.
            r#"{"":"empty","1":{"\n":56,"f":{"F":5,"f":"hi"}},"10":{},"111":[],"A":{},"a":{}}"#,
        ),
        (
            json!([56, {"d": true, "10": null, "1": []}]),
            r#"[56,{"1":[],"10":null,"d":true}]"#,
        ),
        (json!(9_007_199_254_740_991_u64), "9007199254740991"),
        (json!(-9_007_199_254_740_991_i64), "-9007199254740991"),
        (
            json!("\u{8}\t\n\u{c}\r\u{7f}\u{1f}"),
            "\"\\b\\t\\n\\f\\r\u{7f}\\u001f\"",
        ),
    ];
    for (value, bytes) in vectors {
        assert_eq!(String::from_utf8(encode(&value).unwrap()).unwrap(), bytes);
    }
}

#[test]
fn what_was_encoded_is_decoded() {
    assert_eq!(
        decode::<Sample>(SAMPLE.as_bytes(), LIMIT).unwrap(),
        sample()
    );
}

#[test]
fn every_other_spelling_is_refused() {
    let other = [
        SAMPLE.replace("\"b\":-3", "\"b\": -3"),
        SAMPLE.replace("\\u0001", "\\u0001 "),
        SAMPLE.replace("\\n", "\\u000a"),
        SAMPLE.replace('é', "\\u00e9"),
        SAMPLE.replace('/', "\\/"),
        SAMPLE.replace("\"B\":true,\"z\":null", "\"z\":null,\"B\":true"),
        SAMPLE.replace("\"B\":true", "\"B\":false,\"B\":true"),
        SAMPLE.replace("\"b\":-3", "\"b\":-3,\"b\":-3"),
        SAMPLE.replace("\"b\":-3", "\"b\":-3.0"),
        SAMPLE.replace("\"b\":-3", "\"b\":-3e0"),
        SAMPLE.replace("\"b\":-3", "\"b\":-0"),
        SAMPLE.replace("\"b\":-3", "\"b\":-03"),
        SAMPLE.replace("\"b\":-3", "\"b\":-9007199254740992"),
        SAMPLE.replace("\"b\":-3", "\"b\":-3,\"c\":1"),
        SAMPLE.replace("\"b\":-3,", ""),
        format!("{SAMPLE}\n"),
        format!("{SAMPLE}{{}}"),
        format!("\u{feff}{SAMPLE}"),
        SAMPLE[..SAMPLE.len() - 1].to_owned(),
        String::new(),
    ];
    for text in &other {
        // "\u0001 " is another string, canonical in itself: the only one of the list that may pass, as another value.
        match decode::<Sample>(text.as_bytes(), LIMIT) {
            Ok(value) => assert_ne!(value, sample(), "{text}"),
            Err(_) => assert_ne!(text, SAMPLE),
        }
    }
    let n_refused = other
        .iter()
        .filter(|text| decode::<Sample>(text.as_bytes(), LIMIT).is_err())
        .count();
    assert_eq!(n_refused, other.len() - 1);
    assert!(decode::<Sample>(b"\xff\xfe", LIMIT).is_err());
}

#[test]
fn values_without_a_canonical_form_are_refused() {
    assert_eq!(encode(&1.5), Err(CanonicalError::Number));
    assert_eq!(encode(&(1_u64 << 53)), Err(CanonicalError::Number));
    assert_eq!(encode(&json!({"é": 1})), Err(CanonicalError::Key));
}

#[test]
fn size_and_depth_are_bounded() {
    assert_eq!(
        decode::<Sample>(SAMPLE.as_bytes(), 10),
        Err(CanonicalError::TooLong {
            n_bytes: SAMPLE.len(),
            limit: 10
        })
    );
    let deep = "[".repeat(LIMIT / 2);
    assert!(decode::<serde_json::Value>(deep.as_bytes(), LIMIT).is_err());
}

#[test]
fn errors_do_not_quote_the_document() {
    let error = decode::<Sample>(br#"{"secret":"patient 7"}"#, LIMIT).unwrap_err();
    assert!(
        !error.to_string().contains("secret") && !error.to_string().contains("patient"),
        "{error}"
    );
}
