//! Where a fit stands, kept in this agent's state every few steps, so that a job that broke off can be gone on with.
//!
//! A checkpoint is a file of its own in the directory of its job, mode 0600, there as a whole or not at all; the last two are
//! kept. It holds what all seats know, and numbers of this seat alone. Nothing of the session's randomness is in it: whoever
//! goes on does so in a session of its own, with fresh correlations and masks.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use coordinator::contract::{Digest, JobId};
use engine::hash;
use protocols::error::ProtocolError;
use protocols::resume::{self, MAX_OFFERS, Offer};
use protocols::session::Session;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Broken, Task, internal};
use crate::agent::milestones::Milestone;
use crate::result::write_private;

/// Version of the files' format.
const FORMAT: u16 = 1;

/// The checkpoints of all jobs of an agent.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    dir: PathBuf,
}

impl Checkpoints {
    /// Those in this directory.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    fn of(&self, job: JobId) -> PathBuf {
        self.dir.join(job.to_string())
    }

    /// Whether there is one of this job.
    #[must_use]
    pub fn has(&self, job: JobId) -> bool {
        !files(&self.of(job)).is_empty()
    }

    /// Removes those of a job; true if there were any.
    ///
    /// # Errors
    /// What the system says.
    pub fn forget(&self, job: JobId) -> io::Result<bool> {
        let dir = self.of(job);
        let had = self.has(job);
        match fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(_) => return Ok(false),
            Ok(()) => {}
        }
        fs::File::open(&self.dir)?.sync_all()?;
        Ok(had)
    }

    /// The jobs of which there are some.
    ///
    /// # Errors
    /// What the system says.
    pub fn jobs(&self) -> io::Result<Vec<JobId>> {
        let mut jobs = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            jobs.extend(name.parse::<JobId>());
        }
        Ok(jobs)
    }
}

/// A job's files by their steps, the newest first.
fn files(dir: &Path) -> Vec<(u32, PathBuf)> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let steps = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let step = name.strip_suffix(".json")?.parse().ok()?;
        Some((step, entry.path()))
    });
    let mut files: Vec<(u32, PathBuf)> = steps.collect();
    files.sort_unstable_by(|a, b| b.cmp(a));
    files
}

/// A checkpoint, as it stands in its file. `S` is what all seats know.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept<S> {
    format: u16,
    /// Of the plan that was run.
    plan: Digest,
    /// The run that wrote it.
    session: Digest,
    /// After how many steps.
    pub(super) step: u32,
    /// What all seats know.
    pub(super) known: S,
    /// What this seat alone knows, among it its share of what nobody knows.
    pub(super) own: Vec<u64>,
}

/// A checkpoint with a digest over it: a file that was changed is none.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File<S> {
    kept: Kept<S>,
    digest: Digest,
}

impl<S: Serialize> Kept<S> {
    /// Of what all seats know. Seats of one run have the same at the same step.
    fn offer(&self) -> Result<Offer, serde_json::Error> {
        let known = serde_json::to_vec(&self.known)?;
        let fields: [&[u8]; 3] = [&self.plan.0, &self.session.0, &known];
        Ok(Offer {
            step: self.step,
            digest: hash::digest("entente/v1/agent/checkpoint/known", &fields),
        })
    }

    fn digest(&self) -> Result<Digest, serde_json::Error> {
        let whole = serde_json::to_vec(self)?;
        let fields: [&[u8]; 1] = [&whole];
        Ok(Digest(hash::digest(
            "entente/v1/agent/checkpoint/file",
            &fields,
        )))
    }
}

fn read<S: Serialize + DeserializeOwned>(path: &Path) -> Option<Kept<S>> {
    let File { kept, digest } = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let is_whole = kept.format == FORMAT && kept.digest().ok()? == digest;
    is_whole.then_some(kept)
}

fn write<S: Serialize>(dir: &Path, kept: Kept<S>) -> Result<(), String> {
    make_dir(dir).map_err(|e| e.to_string())?;
    let path = dir.join(format!("{}.json", kept.step));
    let digest = kept.digest().map_err(|e| e.to_string())?;
    let bytes = serde_json::to_vec(&File { kept, digest }).map_err(|e| e.to_string())?;
    write_private(&path, &bytes).map_err(|e| e.to_string())?;
    for (_, old) in files(dir).into_iter().skip(MAX_OFFERS) {
        fs::remove_file(old).map_err(|e| e.to_string())?;
    }
    Ok(())
}

fn make_dir(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
}

/// Doubles as a file keeps them, to the last bit.
pub(super) fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// The same back.
pub(super) fn doubles(bits: &[u64]) -> Vec<f64> {
    bits.iter().map(|b| f64::from_bits(*b)).collect()
}

/// After how many steps of an earlier job a run went on, once that is known; 0 if it began anew.
pub(super) type WentOn = OnceLock<u32>;

impl Task<'_> {
    /// Keeps where a fit stands. A disk that fails ends no job: it can then not be gone on with, which the log says.
    pub(super) async fn keep<S: Serialize + Send + 'static>(
        &self,
        step: u32,
        known: S,
        own: Vec<u64>,
    ) {
        let kept = Kept {
            format: FORMAT,
            plan: self.binding.plan,
            session: Digest(self.binding.session_id()),
            step,
            known,
            own,
        };
        let dir = self.storage.checkpoints.of(self.contract.job_id);
        let written = tokio::task::spawn_blocking(move || write(&dir, kept)).await;
        if !matches!(written, Ok(Ok(()))) {
            tracing::warn!("a checkpoint of a running job could not be written");
        }
        let (gate, job) = (self.gate, self.contract.job_id);
        gate.milestones.reach(job, Milestone::Checkpoint).await;
    }

    /// This seat's checkpoints of the job that this one goes on with, the newest first.
    pub(super) async fn checkpoints<S>(&self) -> Vec<Kept<S>>
    where
        S: Serialize + DeserializeOwned + Send + 'static,
    {
        let Some(earlier) = self.contract.resumes else {
            return Vec::new();
        };
        let (dir, plan) = (self.storage.checkpoints.of(earlier), self.binding.plan);
        let read = move || {
            let all = files(&dir).into_iter().filter_map(|(_, file)| read(&file));
            let of_plan = all.filter(|kept: &Kept<S>| kept.plan == plan && kept.step > 0);
            of_plan.take(MAX_OFFERS).collect()
        };
        tokio::task::spawn_blocking(read).await.unwrap_or_default()
    }

    /// Finds with all seats which of these to go on from, and notes it in the log: `None` to begin anew. Of a job that goes
    /// on with no other, sends nothing.
    pub(super) async fn went_on<S: Serialize>(
        &self,
        session: &mut Session,
        kept: Vec<Kept<S>>,
    ) -> Result<Option<Kept<S>>, Broken> {
        let Some(earlier) = self.contract.resumes else {
            return Ok(None);
        };
        let offers: Result<Vec<Offer>, _> = kept.iter().map(Kept::offer).collect();
        let offers = offers.map_err(|e| internal(&e.to_string()))?;
        let agreed: Result<_, ProtocolError> = resume::agree(session, &offers).await;
        let agreed = agreed?;
        let mut all = kept.into_iter().zip(&offers);
        let found = all.find(|(_, offer)| Some(**offer) == agreed);
        let found = found.map(|(kept, _)| kept);
        let step = found.as_ref().map_or(0, |kept| kept.step);
        let (job, now) = (self.contract.job_id, self.gate.clock.now_unix_s());
        let noted = self.gate.ledger.note_resumed((job, earlier), step, now);
        noted.await.map_err(|e| internal(&e.to_string()))?;
        let _ = self.went_on.set(step);
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn kept(step: u32, known: &str) -> Kept<String> {
        Kept {
            format: FORMAT,
            plan: Digest([1; 32]),
            session: Digest([2; 32]),
            step,
            known: known.to_owned(),
            own: bits(&[0.1 + 0.2, -0.0, f64::MAX]),
        }
    }

    #[test]
    fn the_last_two_are_kept_for_their_owner_alone_and_a_changed_file_is_none() {
        let home = tempfile::tempdir().expect("a directory");
        let all = Checkpoints::new(home.path().to_owned());
        let job = JobId([7; 16]);
        assert!(!all.has(job) && all.jobs().expect("none").is_empty());
        for step in [2, 4, 10] {
            write(&all.of(job), kept(step, "x")).expect("written");
        }
        assert!(all.has(job));
        assert_eq!(all.jobs().expect("one"), [job]);
        let found = files(&all.of(job));
        let steps: Vec<u32> = found.iter().map(|(step, _)| *step).collect();
        assert_eq!(steps, [10, 4]);
        let newest = &found[0].1;
        let mode = |path: &Path| fs::metadata(path).expect("a file").mode() & 0o777;
        assert_eq!((mode(newest), mode(&all.of(job))), (0o600, 0o700));
        let back: Kept<String> = read(newest).expect("whole");
        assert_eq!(back.step, 10);
        let numbers = doubles(&back.own);
        assert_eq!(numbers[0].to_bits(), (0.1f64 + 0.2).to_bits());
        assert!(numbers[1].is_sign_negative());
        let text = fs::read_to_string(newest).expect("text");
        fs::write(newest, text.replace("\"x\"", "\"y\"")).expect("changed");
        assert!(read::<String>(newest).is_none());
        assert!(all.forget(job).expect("removed"));
        assert!(!all.has(job) && !all.forget(job).expect("nothing"));
    }

    #[test]
    fn an_offer_is_of_what_all_seats_know() {
        let of = |kept: &Kept<String>| kept.offer().expect("an offer");
        let mut other = kept(2, "x");
        other.own = vec![9];
        assert_eq!(of(&kept(2, "x")), of(&other));
        other.session = Digest([3; 32]);
        assert_ne!(of(&kept(2, "x")), of(&other), "of another run");
        assert_ne!(of(&kept(2, "x")), of(&kept(2, "y")));
    }
}
