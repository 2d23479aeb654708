//! Canonical JSON: one value, one byte string. A subset of RFC 8785 (JSON Canonicalization Scheme).
//!
//! Objects have ASCII keys in byte order (for ASCII the same as RFC 8785's UTF-16 order), numbers are integers that
//! every JSON reader holds exactly (at most 2^53 − 1 in magnitude), strings are escaped as RFC 8785 §3.2.2.2 says, and there is no white space.
//!
//! Decoding accepts canonical bytes only. It decodes, encodes again and compares, so whatever the decoder is lax about
//! (a repeated key, an unknown field, a float that happens to be whole, an escape that need not be there, trailing
//! bytes) is refused: two readers of accepted bytes cannot disagree about their meaning.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The largest magnitude of an integer (RFC 7493 §2.2).
pub const MAX_INTEGER: u64 = (1 << 53) - 1;

/// Why bytes are not a canonical document, or a value has no canonical form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// More bytes than the document may have.
    #[error("the document has {n_bytes} bytes; at most {limit} are allowed")]
    TooLong {
        /// Its size.
        n_bytes: usize,
        /// The most allowed.
        limit: usize,
    },
    /// Not JSON, or not the expected fields.
    #[error("the document does not have the expected form at line {line}, column {column}")]
    Form {
        /// 1-based line.
        line: usize,
        /// 1-based column.
        column: usize,
    },
    /// It means something, but it is not the one way to write it.
    #[error(
        "the document is not in canonical form (repeated or unknown key, order, white space or escape)"
    )]
    NotCanonical,
    /// A number with a fraction or exponent, or beyond 2^53 − 1.
    #[error("a number is not an integer of at most 2^53 − 1 in magnitude")]
    Number,
    /// A key outside ASCII.
    #[error("an object key is not ASCII")]
    Key,
    /// A type that JSON cannot hold.
    #[error("the value has no JSON form")]
    Unrepresentable,
}

/// The canonical bytes of `value`.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CanonicalError> {
    let value = serde_json::to_value(value).map_err(|_| CanonicalError::Unrepresentable)?;
    let mut out = Vec::new();
    write(&value, &mut out)?;
    Ok(out)
}

/// Reads a `T` from canonical bytes, at most `limit` of them, and from nothing else.
pub fn decode<T: Serialize + DeserializeOwned>(
    bytes: &[u8],
    limit: usize,
) -> Result<T, CanonicalError> {
    if bytes.len() > limit {
        return Err(CanonicalError::TooLong {
            n_bytes: bytes.len(),
            limit,
        });
    }
    // The library's message may quote the input, so that only the position is kept.
    let value: T = serde_json::from_slice(bytes).map_err(|e| CanonicalError::Form {
        line: e.line(),
        column: e.column(),
    })?;
    if encode(&value)? == bytes {
        Ok(value)
    } else {
        Err(CanonicalError::NotCanonical)
    }
}

fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(b) => out.extend_from_slice(if *b { b"true" } else { b"false" }),
        Value::Number(n) => write_integer(n, out)?,
        Value::String(s) => write_string(s, out),
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write(item, out)?;
            }
            out.push(b']');
        }
        Value::Object(map) => {
            // Sorted here: whether the map keeps insertion order is a feature that any crate of the graph may switch on.
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| key.as_bytes());
            out.push(b'{');
            for (i, (key, item)) in entries.into_iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                if !key.is_ascii() {
                    return Err(CanonicalError::Key);
                }
                write_string(key, out);
                out.push(b':');
                write(item, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn write_integer(n: &serde_json::Number, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
    let n = match (n.as_u64(), n.as_i64()) {
        (Some(n), _) => i128::from(n),
        (None, Some(n)) => i128::from(n),
        (None, None) => return Err(CanonicalError::Number),
    };
    if n.unsigned_abs() > u128::from(MAX_INTEGER) {
        return Err(CanonicalError::Number);
    }
    out.extend_from_slice(n.to_string().as_bytes());
    Ok(())
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for c in text.chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\u{8}' => out.extend_from_slice(b"\\b"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\u{c}' => out.extend_from_slice(b"\\f"),
            '\r' => out.extend_from_slice(b"\\r"),
            c if c < ' ' => out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes()),
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}
