//! Every change of one value that somebody without the keys could make to a document. A verifier has to refuse each of them.

use coordinator::contract::canonical::{self, CanonicalError, MAX_INTEGER};
use serde_json::{Map, Value};

/// One change of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tampering {
    /// Where, such as `contract.body.parties.0.name`, and what is done there.
    pub what: String,
    path: Vec<Step>,
    change: Change,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Field(String),
    Item(usize),
    /// Into a text that is a document itself, as what was signed stands in a file.
    Text,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// Another value of the same type.
    Value,
    /// The same number, written as a float.
    Float,
    /// A field more.
    Unknown,
    /// Its first field twice.
    Repeated,
}

/// A name that no document of ours has, and the last in any order.
const UNKNOWN: &str = "~unknown";

/// All changes of a canonical document: every value that is no list and no object as another one, every number as a float, and every object with
/// an unknown key and with a repeated one. Texts that are objects themselves are gone through too.
///
/// # Errors
/// [`CanonicalError::Form`], if this is no JSON.
pub fn tamperings(document: &[u8]) -> Result<Vec<Tampering>, CanonicalError> {
    let mut found = Vec::new();
    visit(&parse(document)?, &mut Vec::new(), &mut found);
    Ok(found)
}

impl Tampering {
    /// The document with this change, in canonical form but for what the change breaks of it.
    ///
    /// # Errors
    /// [`CanonicalError`], if the document is another one than that of [`tamperings`].
    pub fn of(&self, document: &[u8]) -> Result<Vec<u8>, CanonicalError> {
        let changed = changed(&parse(document)?, &self.path, self.change)?;
        Ok(changed.into_bytes())
    }
}

fn parse(document: &[u8]) -> Result<Value, CanonicalError> {
    serde_json::from_slice(document).map_err(|e| CanonicalError::Form {
        line: e.line(),
        column: e.column(),
    })
}

/// The object that a text is.
fn within(text: &str) -> Option<Value> {
    let is_object = text.starts_with('{');
    let value = is_object.then(|| serde_json::from_str(text).ok()).flatten();
    value.filter(Value::is_object)
}

fn visit(value: &Value, path: &mut Vec<Step>, found: &mut Vec<Tampering>) {
    let mut add = |change: Change, path: &[Step]| {
        found.push(Tampering {
            what: place(path) + change.words(),
            path: path.to_vec(),
            change,
        });
    };
    match value {
        Value::Object(fields) => {
            add(Change::Unknown, path);
            if !fields.is_empty() {
                add(Change::Repeated, path);
            }
            for (name, value) in fields {
                path.push(Step::Field(name.clone()));
                visit(value, path, found);
                path.pop();
            }
        }
        Value::Array(items) => {
            for (i, value) in items.iter().enumerate() {
                path.push(Step::Item(i));
                visit(value, path, found);
                path.pop();
            }
        }
        Value::String(text) => {
            add(Change::Value, path);
            if let Some(value) = within(text) {
                path.push(Step::Text);
                visit(&value, path, found);
                path.pop();
            }
        }
        Value::Number(_) => {
            add(Change::Value, path);
            add(Change::Float, path);
        }
        Value::Bool(_) | Value::Null => add(Change::Value, path),
    }
}

fn place(path: &[Step]) -> String {
    let words = path.iter().filter_map(|step| match step {
        Step::Field(name) => Some(name.clone()),
        Step::Item(i) => Some(i.to_string()),
        Step::Text => None,
    });
    match words.collect::<Vec<_>>().join(".") {
        place if place.is_empty() => "the file".to_owned(),
        place => place,
    }
}

impl Change {
    fn words(self) -> &'static str {
        match self {
            Self::Value => ": another value",
            Self::Float => ": as a float",
            Self::Unknown => ": an unknown key",
            Self::Repeated => ": a repeated key",
        }
    }
}

/// The text of a value with the change at the end of the path.
fn changed(value: &Value, path: &[Step], change: Change) -> Result<String, CanonicalError> {
    let Some((step, rest)) = path.split_first() else {
        return here(value, change);
    };
    match (step, value) {
        (Step::Field(name), Value::Object(fields)) => {
            let inner = |value: &Value| changed(value, rest, change);
            Ok(format!(
                "{{{}}}",
                written(fields, Some((name, &inner)))?.join(",")
            ))
        }
        (Step::Item(at), Value::Array(items)) => {
            let items = items.iter().enumerate().map(|(i, value)| match i == *at {
                true => changed(value, rest, change),
                false => text(value),
            });
            Ok(format!(
                "[{}]",
                items.collect::<Result<Vec<_>, _>>()?.join(",")
            ))
        }
        (Step::Text, Value::String(document)) => {
            let document = within(document).ok_or(CanonicalError::Unrepresentable)?;
            text(&Value::String(changed(&document, rest, change)?))
        }
        _ => Err(CanonicalError::Unrepresentable),
    }
}

type Inner<'a> = &'a dyn Fn(&Value) -> Result<String, CanonicalError>;

/// The fields of an object in their order, one of them by another hand.
fn written(
    fields: &Map<String, Value>,
    one: Option<(&str, Inner<'_>)>,
) -> Result<Vec<String>, CanonicalError> {
    let mut sorted: Vec<_> = fields.iter().collect();
    sorted.sort_unstable_by_key(|(name, _)| name.as_bytes());
    let field = |(name, value): (&String, &Value)| {
        let value = match one {
            Some((other, inner)) if other == name => inner(value)?,
            _ => text(value)?,
        };
        Ok(format!("{}:{value}", text(&Value::String(name.clone()))?))
    };
    sorted.into_iter().map(field).collect()
}

fn here(value: &Value, change: Change) -> Result<String, CanonicalError> {
    match (change, value) {
        (Change::Value, value) => text(&other(value)),
        (Change::Float, number) => Ok(format!("{}.0", text(number)?)),
        (Change::Unknown, Value::Object(fields)) => {
            let mut fields = fields.clone();
            fields.insert(UNKNOWN.to_owned(), Value::from(0));
            text(&Value::Object(fields))
        }
        (Change::Repeated, Value::Object(fields)) => {
            let mut fields = written(fields, None)?;
            let first = fields.first().cloned();
            fields.insert(0, first.ok_or(CanonicalError::Unrepresentable)?);
            Ok(format!("{{{}}}", fields.join(",")))
        }
        _ => Err(CanonicalError::Unrepresentable),
    }
}

/// Another value of the same type: of a digit another digit, so that numbers in hexadecimal remain numbers.
fn other(value: &Value) -> Value {
    match value {
        Value::Bool(b) => Value::Bool(!b),
        Value::Number(n) => match n.as_u64() {
            Some(n) if n >= MAX_INTEGER => Value::from(n - 1),
            Some(n) => Value::from(n + 1),
            None => Value::from(n.as_i64().unwrap_or(0) + 1),
        },
        Value::String(text) => {
            let mut text = text.clone();
            let last = match text.pop() {
                Some('9') => '0',
                Some('f') => 'a',
                Some(c @ ('0'..='8' | 'a'..='e')) => char::from(c as u8 + 1),
                Some('x') => 'y',
                _ => 'x',
            };
            text.push(last);
            Value::String(text)
        }
        _ => Value::from(0),
    }
}

fn text(value: &Value) -> Result<String, CanonicalError> {
    let bytes = canonical::encode(value)?;
    String::from_utf8(bytes).map_err(|_| CanonicalError::Unrepresentable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_of_a_document_is_changed_also_within_texts() {
        let document = br#"{"a":[1,true],"b":"{\"c\":\"f\"}"}"#;
        let all = tamperings(document).expect("JSON");
        let found: Vec<_> = all
            .iter()
            .map(|t| {
                (
                    t.what.as_str(),
                    String::from_utf8(t.of(document).expect("changed")).expect("text"),
                )
            })
            .collect();
        let wanted = [
            (
                "the file: an unknown key",
                r#"{"a":[1,true],"b":"{\"c\":\"f\"}","~unknown":0}"#,
            ),
            (
                "the file: a repeated key",
                r#"{"a":[1,true],"a":[1,true],"b":"{\"c\":\"f\"}"}"#,
            ),
            (
                "a.0: another value",
                r#"{"a":[2,true],"b":"{\"c\":\"f\"}"}"#,
            ),
            ("a.0: as a float", r#"{"a":[1.0,true],"b":"{\"c\":\"f\"}"}"#),
            (
                "a.1: another value",
                r#"{"a":[1,false],"b":"{\"c\":\"f\"}"}"#,
            ),
            ("b: another value", r#"{"a":[1,true],"b":"{\"c\":\"f\"x"}"#),
            (
                "b: an unknown key",
                r#"{"a":[1,true],"b":"{\"c\":\"f\",\"~unknown\":0}"}"#,
            ),
            (
                "b: a repeated key",
                r#"{"a":[1,true],"b":"{\"c\":\"f\",\"c\":\"f\"}"}"#,
            ),
            (
                "b.c: another value",
                r#"{"a":[1,true],"b":"{\"c\":\"a\"}"}"#,
            ),
        ];
        let wanted: Vec<_> = wanted.iter().map(|(w, t)| (*w, (*t).to_owned())).collect();
        assert_eq!(found, wanted);
    }
}
