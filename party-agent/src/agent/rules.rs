//! What this holder's agent goes by: its policy with what its tables inherit, and the negative list.

use std::io;
use std::path::{Path, PathBuf};

use coordinator::contract::Signed;
use coordinator::logsafe::safe;
use serde::Deserialize;
use tracing::warn;

use super::{Core, Mode};
use crate::catalogue::Class;
use crate::config::AgentConfig;
use crate::policy::negative::NegativeList;
use crate::policy::{Policy, PolicyError};
use crate::result::RESULT_FILE;
use crate::source::DatasetSpec;

/// The longest result of which the class is read.
const MAX_RESULT_BYTES: u64 = 1 << 30;

/// The policy, as the file stands now. A table that is the result of a job has at least that result's class.
pub(super) fn load_policy(config: &AgentConfig, mode: Mode) -> Result<Policy, PolicyError> {
    let mut policy = match Policy::load(&config.policy) {
        Err(PolicyError::Unreadable { source, .. })
            if mode == Mode::Rehearsal && source.kind() == io::ErrorKind::NotFound =>
        {
            return Ok(Policy::rehearsal());
        }
        loaded => loaded?,
    };
    for dataset in &config.datasets {
        if let Some(class) = inherited(&dataset.spec)? {
            policy.raise(&dataset.name, class);
        }
    }
    Ok(policy)
}

/// The class of the result whose file a dataset is, if it is one: its document stands beside it.
fn inherited(spec: &DatasetSpec) -> Result<Option<Class>, PolicyError> {
    /// As much of a result as is needed here.
    #[derive(Deserialize)]
    struct Document {
        class: Option<Class>,
    }
    let (DatasetSpec::Csv(path) | DatasetSpec::Parquet(path)) = spec else {
        return Ok(None);
    };
    let path = path.with_file_name(RESULT_FILE);
    let Ok(found) = std::fs::metadata(&path) else {
        return Ok(None);
    };
    let unreadable = || PolicyError::Inherited { path: path.clone() };
    if found.len() > MAX_RESULT_BYTES {
        return Err(unreadable());
    }
    let bytes = std::fs::read(&path).map_err(|_| unreadable())?;
    let document: Document = serde_json::from_slice(&bytes).map_err(|_| unreadable())?;
    Ok(document.class)
}

impl Core {
    /// The negative list that this holder keeps to, verified, and not older than one that was seen here.
    pub(crate) async fn negative_list(&self) -> Result<Option<NegativeList>, PolicyError> {
        let Some(of) = &self.config.negative_list else {
            return Ok(None);
        };
        let unusable = |what: &str| PolicyError::NegativeList {
            path: PathBuf::from(Path::new(&of.file)),
            what: what.to_owned(),
        };
        let pins = self.pins().map_err(|e| unusable(&e.to_string()))?;
        let pin = pins
            .find(&of.issuer)
            .ok_or_else(|| unusable("its issuer is not trusted here"))?;
        let bytes = std::fs::read(&of.file).map_err(|e| unusable(&e.to_string()))?;
        let signed: Signed<NegativeList> =
            serde_json::from_slice(&bytes).map_err(|_| unusable("it is not a signed list"))?;
        let list = pin.verify(&signed);
        let list = list.map_err(|e| unusable(&e.to_string()))?;
        if list.issuer != of.issuer {
            return Err(unusable("it is that of another issuer"));
        }
        let noted = self
            .ledger
            .note_negative_list(&of.issuer, list.version, &signed.digest(), self.now())
            .await;
        match noted {
            Ok(true) => Ok(Some(list)),
            Ok(false) => Err(unusable("it is older than one that was seen here before")),
            Err(error) => {
                warn!(issuer = %safe(&of.issuer), code = error.code(), "the ledger failed");
                Err(unusable("the ledger could not be written"))
            }
        }
    }
}
