//! An error as the command line shows it: what, where, what to do, and its exit code.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use coordinator::client::ClientError;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::approve::Refusal;
use crate::execute::exit;
use crate::ledger::{Halt, LedgerError};
use crate::plan::PlanFault;
use crate::policy::{Denial, PolicyError};
use crate::source::SourceError;
use crate::spec;

/// Why a request was not granted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Problem {
    /// Exit code of the command.
    pub exit: u8,
    /// HTTP status.
    pub status: u16,
    /// Short word for programs.
    pub code: Box<str>,
    /// What happened.
    pub what: Box<str>,
    /// Where.
    pub place: Option<String>,
    /// What to do about it.
    pub what_to_do: Option<String>,
    /// All faults of a file, if that is what happened.
    pub faults: Vec<FaultLine>,
}

/// One fault of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultLine {
    /// Line, if there is one.
    pub line: Option<usize>,
    /// Field or place.
    pub field: Option<String>,
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub allowed: Option<String>,
}

impl Problem {
    pub(crate) fn new(exit: u8, status: StatusCode, code: &str, what: impl Into<String>) -> Self {
        Self {
            exit,
            status: status.as_u16(),
            code: code.into(),
            what: what.into().into_boxed_str(),
            place: None,
            what_to_do: None,
            faults: Vec::new(),
        }
    }

    /// A request that makes no sense.
    pub(crate) fn usage(code: &str, what: impl Into<String>) -> Self {
        Self::new(exit::USAGE, StatusCode::BAD_REQUEST, code, what)
    }

    /// Something that is not there.
    pub(crate) fn missing(code: &str, what: impl Into<String>) -> Self {
        Self::new(exit::USAGE, StatusCode::NOT_FOUND, code, what)
    }

    /// A step that the job's state does not allow.
    pub(crate) fn conflict(code: &str, what: impl Into<String>) -> Self {
        Self::new(exit::USAGE, StatusCode::CONFLICT, code, what)
    }

    /// A failure of the agent.
    pub(crate) fn runtime(code: &str, what: impl Into<String>) -> Self {
        Self::new(exit::RUNTIME, StatusCode::INTERNAL_SERVER_ERROR, code, what)
    }

    /// Says where.
    #[must_use]
    pub(crate) fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// Says what to do.
    #[must_use]
    pub(crate) fn advice(mut self, what_to_do: impl Into<String>) -> Self {
        self.what_to_do = Some(what_to_do.into());
        self
    }

    fn with_faults(mut self, faults: impl Iterator<Item = FaultLine>) -> Self {
        self.faults = faults.collect();
        self
    }

    /// Everything is stopped at this agent.
    pub(crate) fn halted(halt: &Halt) -> Self {
        let what = format!(
            "{} has stopped everything at this agent: {}",
            halt.by, halt.reason
        );
        Self::new(exit::POLICY, StatusCode::CONFLICT, "halted", what)
            .advice("`entente halt --lift` lets jobs run again")
    }

    /// Faults of a job file.
    pub(crate) fn spec(faults: &[spec::Fault]) -> Self {
        Self::usage(
            "spec",
            format!("the job file has {} fault(s)", faults.len()),
        )
        .at("the job file")
        .advice("correct them and try again")
        .with_faults(faults.iter().map(FaultLine::of))
    }

    /// Reasons why a job cannot be planned.
    pub(crate) fn plan(faults: &[PlanFault]) -> Self {
        let lines = faults.iter().map(|f| FaultLine {
            line: None,
            field: Some(f.place.clone()),
            what: f.what.clone(),
            allowed: Some(f.fix.clone()),
        });
        Self::usage(
            "plan",
            format!("the job cannot be planned, for {} reason(s)", faults.len()),
        )
        .at("the job file")
        .advice("correct them and try again")
        .with_faults(lines)
    }

    /// What a policy has against a job.
    pub(crate) fn policy(denials: &[Denial]) -> Self {
        let lines = denials.iter().map(|d| FaultLine {
            line: None,
            field: Some(d.rule.clone()),
            what: d.what.clone(),
            allowed: Some(d.allowed.clone()),
        });
        let what = "this party's policy refuses the job";
        Self::new(exit::POLICY, StatusCode::FORBIDDEN, "policy", what)
            .at("the policy file")
            .advice("change the job, or ask the policy's owner")
            .with_faults(lines)
    }

    /// The JSON document.
    #[must_use]
    pub fn document(&self) -> serde_json::Value {
        json!({
            "error": {
                "code": self.code,
                "what": self.what,
                "where": self.place,
                "what_to_do": self.what_to_do,
                "faults": self.faults,
            },
            "exit": self.exit,
        })
    }
}

impl FaultLine {
    fn of(fault: &spec::Fault) -> Self {
        Self {
            line: Some(fault.line),
            field: Some(fault.field.clone()),
            what: fault.what.clone(),
            allowed: Some(fault.allowed.clone()),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(self.document())).into_response()
    }
}

impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        let what = error.to_string();
        match error {
            LedgerError::UnknownJob { .. } => {
                Self::missing("unknown_job", what).advice("`entente job list` shows the jobs")
            }
            LedgerError::WrongState { .. } => Self::conflict("wrong_state", what),
            LedgerError::RuleExhausted { .. } => {
                Self::conflict("rule_exhausted", what).advice("approve it by hand")
            }
            LedgerError::Conflict { .. } => Self::conflict("replayed", what),
            LedgerError::Halted => Self::new(exit::POLICY, StatusCode::CONFLICT, "halted", what)
                .advice("`entente halt --lift` lets jobs run again"),
            LedgerError::NoPlace { .. }
            | LedgerError::NoBudget { .. }
            | LedgerError::Cohorts { .. }
            | LedgerError::NothingReserved { .. } => {
                Self::new(exit::POLICY, StatusCode::CONFLICT, "no_run_left", what)
            }
            LedgerError::File { .. } | LedgerError::Database(_) | LedgerError::Corrupt { .. } => {
                Self::runtime("ledger", what).advice("is the disk full? See `entente doctor`")
            }
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (code, what) = (refusal.code(), refusal.to_string());
        match refusal {
            Refusal::Spec(faults) => Self::spec(&faults),
            Refusal::Plan(faults) => Self::plan(&faults),
            Refusal::Policy(denials) => Self::policy(&denials),
            Refusal::UnknownParty { party } => {
                Self::usage(code, what).advice(format!("entente keys trust {party} SHA256:…"))
            }
            Refusal::Catalogue { .. } => Self::usage(code, what),
            _ => Self::new(exit::RUNTIME, StatusCode::CONFLICT, code, what),
        }
    }
}

impl From<ClientError> for Problem {
    fn from(error: ClientError) -> Self {
        let what = error.to_string();
        match error {
            ClientError::Unanswered { .. } => Self::new(
                exit::PEER_LOST,
                StatusCode::GATEWAY_TIMEOUT,
                "coordinator_unreachable",
                what,
            )
            .at("the coordinator")
            .advice("check the network and `coordinator.address`; `entente doctor` tells more"),
            _ => Self::runtime("coordinator", what).at("the coordinator"),
        }
    }
}

impl From<PolicyError> for Problem {
    fn from(error: PolicyError) -> Self {
        let problem = Self::new(
            exit::POLICY,
            StatusCode::FORBIDDEN,
            "policy_file",
            error.to_string(),
        )
        .at("the policy file")
        .advice("correct the policy file; until then this party takes part in no job");
        match error {
            PolicyError::Unreadable { .. }
            | PolicyError::NegativeList { .. }
            | PolicyError::Review { .. }
            | PolicyError::Inherited { .. } => problem,
            PolicyError::Faulty { faults, .. } => {
                problem.with_faults(faults.iter().map(FaultLine::of))
            }
        }
    }
}

impl From<SourceError> for Problem {
    fn from(error: SourceError) -> Self {
        Self::usage(error.code(), error.to_string()).at("this party's data")
    }
}
