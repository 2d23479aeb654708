//! How a command ends: with a [`Reply`] or a [`Failure`], each printed once, for a person or as JSON.

use serde::Serialize;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

/// The exit codes of DESIGN §6, and those of `evidence verify`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Ok,
    Runtime,
    Usage,
    Policy,
    Rejected,
    PeerLost,
    /// A check of an evidence file that failed, by its own number.
    Evidence(u8),
}

impl Exit {
    /// The exit with this number; anything else is a run-time failure.
    pub(crate) fn from_code(code: i64) -> Self {
        match code {
            0 => Self::Ok,
            2 => Self::Usage,
            3 => Self::Policy,
            4 => Self::Rejected,
            5 => Self::PeerLost,
            _ => Self::Runtime,
        }
    }

    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Runtime => 1,
            Self::Usage => 2,
            Self::Policy => 3,
            Self::Rejected => 4,
            Self::PeerLost => 5,
            Self::Evidence(code) => code,
        }
    }
}

/// What a command has to say when it has done its work.
pub(crate) struct Reply {
    exit: Exit,
    /// Already serialized: a result's exact decimals must not pass through a `Value`'s floats.
    document: String,
    text: String,
}

impl Reply {
    /// `text` is for a person, `document` for `--json`; they say the same.
    pub(crate) fn new(document: &impl Serialize, text: impl Into<String>) -> Self {
        let document =
            serde_json::to_string_pretty(document).expect("replies have string keys only");
        Self {
            exit: Exit::Ok,
            document,
            text: text.into(),
        }
    }

    /// A reply that nevertheless ends with another code (a watched job that failed, say).
    pub(crate) fn with_exit(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }
}

/// One fault of a file that the user wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileFault {
    pub(crate) line: Option<u64>,
    pub(crate) field: Option<String>,
    pub(crate) what: String,
    pub(crate) allowed: Option<String>,
}

impl FileFault {
    /// A fault of a job file or of a configuration.
    pub(crate) fn of(fault: &party_agent::spec::Fault) -> Self {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Self {
            line: u64::try_from(fault.line).ok(),
            field: text(&fault.field),
            what: fault.what.clone(),
            allowed: text(&fault.allowed),
        }
    }

    fn text(&self, out: &mut String) {
        out.push_str("  ");
        if let Some(line) = self.line {
            let _ = write!(out, "line {line}: ");
        }
        if let Some(field) = &self.field {
            let _ = write!(out, "{field}: ");
        }
        out.push_str(&self.what);
        if let Some(allowed) = &self.allowed {
            let _ = write!(out, " ({allowed})");
        }
        out.push('\n');
    }

    fn from_document(document: &Value) -> Option<Self> {
        let text = |field: &str| {
            document
                .get(field)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        Some(Self {
            line: document.get("line").and_then(Value::as_u64),
            field: text("field"),
            what: text("what")?,
            allowed: text("allowed"),
        })
    }

    fn document(&self) -> Value {
        json!({ "line": self.line, "field": self.field, "what": self.what, "allowed": self.allowed })
    }
}

/// Why a command did not do its work: what happened, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// A short word for programs.
    pub(crate) code: Box<str>,
    pub(crate) what: String,
    pub(crate) place: Option<String>,
    pub(crate) advice: Option<String>,
    pub(crate) faults: Vec<FileFault>,
}

/// The result of a command or a part of one.
pub(crate) type Outcome<T> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(exit: Exit, code: &str, what: impl Into<String>) -> Self {
        Self {
            exit,
            code: code.into(),
            what: what.into(),
            place: None,
            advice: None,
            faults: Vec::new(),
        }
    }

    pub(crate) fn runtime(code: &str, what: impl Into<String>) -> Self {
        Self::new(Exit::Runtime, code, what)
    }

    pub(crate) fn usage(code: &str, what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, code, what)
    }

    /// The file, argument, party or step that it is about.
    pub(crate) fn at(self, place: impl Into<String>) -> Self {
        Self {
            place: Some(place.into()),
            ..self
        }
    }

    /// What the reader can do.
    pub(crate) fn advice(self, advice: impl Into<String>) -> Self {
        Self {
            advice: Some(advice.into()),
            ..self
        }
    }

    pub(crate) fn faults(self, faults: Vec<FileFault>) -> Self {
        Self { faults, ..self }
    }

    /// The failure that an agent or a child process reported as a JSON document, if it is one.
    pub(crate) fn from_document(document: &Value) -> Option<Self> {
        let error = document.get("error")?;
        let text = |field: &str| error.get(field).and_then(Value::as_str).map(str::to_owned);
        let faults = error
            .get("faults")
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        Some(Self {
            exit: Exit::from_code(document.get("exit").and_then(Value::as_i64).unwrap_or(1)),
            code: text("code").map_or_else(|| "unknown".into(), String::into_boxed_str),
            what: text("what")?,
            place: text("where"),
            advice: text("what_to_do"),
            faults: faults.iter().filter_map(FileFault::from_document).collect(),
        })
    }

    /// Says whose failure it is, where several processes could be meant.
    pub(crate) fn by(self, party: &str) -> Self {
        Self {
            what: format!("{party}: {}", self.what),
            ..self
        }
    }

    /// Three short lines, and one for each fault of a file.
    pub(crate) fn text(&self) -> String {
        let mut out = format!("error: {}\n", self.what);
        for fault in &self.faults {
            fault.text(&mut out);
        }
        if let Some(place) = &self.place {
            let _ = writeln!(out, "where: {place}");
        }
        if let Some(advice) = &self.advice {
            let _ = writeln!(out, "to do: {advice}");
        }
        out
    }

    pub(crate) fn document(&self) -> Value {
        let mut error = json!({
            "code": self.code, "what": self.what, "where": self.place, "what_to_do": self.advice,
        });
        if !self.faults.is_empty() {
            error["faults"] = self.faults.iter().map(FileFault::document).collect();
        }
        json!({ "error": error, "exit": self.exit.code() })
    }
}

/// Where a command's words go. A process prints at most one JSON document, whatever happens.
pub(crate) struct Output {
    json: bool,
    printed: AtomicBool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self {
            json,
            printed: AtomicBool::new(false),
        }
    }

    /// A line for the person who waits; never on stdout in JSON mode.
    pub(crate) fn say(&self, line: &str) {
        if self.json {
            to_stderr(line);
            to_stderr("\n");
        } else {
            to_stdout(line);
            to_stdout("\n");
        }
    }

    /// A line about progress: always on stderr.
    pub(crate) fn progress(&self, line: &str) {
        to_stderr(line);
        to_stderr("\n");
    }

    /// Prints the reply of a command that goes on afterwards (an agent that now listens).
    pub(crate) fn announce(&self, reply: &Reply) {
        if self.json {
            self.document(&reply.document);
        } else {
            to_stdout(&reply.text);
        }
    }

    /// Prints how the command ended and gives the process's exit code.
    pub(crate) fn finish(&self, outcome: &Outcome<Option<Reply>>) -> ExitCode {
        match outcome {
            Ok(None) => ExitCode::SUCCESS,
            Ok(Some(reply)) => {
                self.announce(reply);
                ExitCode::from(reply.exit.code())
            }
            Err(failure) => {
                to_stderr(&failure.text());
                if self.json {
                    self.document(&format!("{:#}", failure.document()));
                }
                ExitCode::from(failure.exit.code())
            }
        }
    }

    fn document(&self, document: &str) {
        if !self.printed.swap(true, Ordering::Relaxed) {
            to_stdout(&format!("{document}\n"));
        }
    }
}

/// Writes to stdout; a reader that has gone away (`| head`) is no reason to fail.
fn to_stdout(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn to_stderr(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_where_and_what_to_do() {
        let failure = Failure::usage("job_file", "the job file has 1 fault")
            .at("job.toml")
            .advice("mend it")
            .faults(vec![FileFault {
                line: Some(3),
                field: Some("receivers".into()),
                what: "is empty".into(),
                allowed: None,
            }]);
        assert_eq!(
            failure.text(),
            "error: the job file has 1 fault\n  line 3: receivers: is empty\nwhere: job.toml\nto do: mend it\n"
        );
        assert_eq!(failure.document()["exit"], 2);
        assert_eq!(failure.document()["error"]["faults"][0]["line"], 3);
    }

    #[test]
    fn a_failure_survives_being_sent_as_a_document() {
        let failure = Failure::new(Exit::Policy, "policy", "patient_id may not be used")
            .at("policy.toml")
            .advice("ask the holder")
            .faults(vec![FileFault {
                line: None,
                field: None,
                what: "w".into(),
                allowed: Some("a, b".into()),
            }]);
        assert_eq!(Failure::from_document(&failure.document()), Some(failure));
        assert_eq!(
            Failure::from_document(&json!({ "api": "127.0.0.1:1" })),
            None
        );
    }

    #[test]
    fn exit_codes_are_those_of_the_design() {
        for code in 0..=5 {
            assert_eq!(i64::from(Exit::from_code(code).code()), code);
        }
        assert_eq!(Exit::from_code(101), Exit::Runtime);
    }
}
