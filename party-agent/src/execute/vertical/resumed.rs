//! A model over a join that goes on where an earlier run of the same plan broke off.
//!
//! What is kept is this party's share of the coefficients, which alone tells nothing, and beside it a digest of its own rows:
//! a holder whose rows have changed offers no checkpoint, so that all begin anew. The join is made again, with keys hashed and
//! rows ordered afresh; coefficients do not depend on the order.

use protocols::net::BoxFuture;
use protocols::resume::{Course, Keeper, Standing};
use protocols::session::Session;
use serde::{Deserialize, Serialize};

use super::super::{Broken, Task};
use super::Own;
use crate::execute::checkpoint::Kept;
use crate::plan::VerticalPlan;
use engine::share::Share;

/// What all parties know of a fit that has taken a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    /// Of how many steps, or epochs.
    of: u32,
    /// How many elements the share has.
    elements: u64,
}

impl Known {
    fn of(plan: &VerticalPlan) -> Self {
        let descent = plan.descent.as_ref();
        // Of Newton's method also how many columns were sound in the first system.
        let n_more = usize::from(descent.is_none());
        Self {
            of: descent.map_or(plan.steps, |d| u32::try_from(d.epochs).unwrap_or(u32::MAX)),
            elements: (plan.n_columns() + n_more) as u64,
        }
    }
}

/// A number of 128 bits as a file keeps it.
fn words(value: u128) -> [u64; 2] {
    [value as u64, (value >> 64) as u64]
}

/// What is kept beside what all parties know: the digest of this holder's rows, and then its share.
fn own(digest: u128, share: &[u128]) -> Vec<u64> {
    let all = [digest].into_iter().chain(share.iter().copied());
    all.flat_map(words).collect()
}

/// The same back.
fn back(own: &[u64]) -> Option<(u128, Vec<u128>)> {
    let (pairs, rest) = own.as_chunks::<2>();
    let values = pairs.iter();
    let mut values = values.map(|[low, high]| u128::from(*low) | u128::from(*high) << 64);
    let digest = values.next()?;
    rest.is_empty().then(|| (digest, values.collect()))
}

/// What a checkpoint holds for this run, if it is one of the same fit over the same rows.
fn usable(kept: &Kept<Known>, known: &Known, rows: u128) -> Option<Vec<u128>> {
    let (digest, share) = back(&kept.own)?;
    let fits = kept.known == *known
        && digest == rows
        && (1..known.of).contains(&kept.step)
        && share.len() as u64 == known.elements;
    fits.then_some(share)
}

/// Who keeps where a fit stands.
pub(super) struct Keeping<'a> {
    task: &'a Task<'a>,
    known: Known,
    every: u32,
    /// The digest of this holder's rows; 0 of a party without any.
    rows: u128,
}

impl<'a> Keeping<'a> {
    pub(super) fn new(task: &'a Task<'a>, of: &VerticalPlan, own: Option<&Own>) -> Self {
        Self {
            task,
            known: Known::of(of),
            every: of.checkpoint_every,
            rows: own.map_or(0, |own| own.people.digest),
        }
    }

    /// Where the fit goes on that this job's contract names, if all computing parties have kept that and have the same rows;
    /// `None` to begin anew.
    pub(super) async fn standing(&self, session: &mut Session) -> Result<Option<Standing>, Broken> {
        if self.every == 0 {
            return Ok(None);
        }
        let kept = self.task.checkpoints::<Known>().await;
        let is_usable = |kept: &Kept<Known>| usable(kept, &self.known, self.rows).is_some();
        let kept = kept.into_iter().filter(is_usable).collect();
        let found = self.task.went_on(session, kept).await?;
        Ok(found.and_then(|kept| {
            let share = usable(&kept, &self.known, self.rows)?;
            Some(Standing {
                step: kept.step,
                share: Share::new(share),
            })
        }))
    }

    /// The course of the fit from there on.
    pub(super) fn course(&mut self, from: Option<Standing>) -> Course<'_> {
        Course::new(from, self.every, self)
    }
}

impl Keeper for Keeping<'_> {
    fn keep(&mut self, standing: Standing) -> BoxFuture<'_, ()> {
        let own = own(self.rows, standing.share.as_slice());
        let kept = self.task.keep(standing.step, self.known.clone(), own);
        Box::pin(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_comes_back_as_it_was() {
        let share = vec![u128::MAX - 5, 1 << 64, 7];
        let kept = own(3 << 100, &share);
        assert_eq!(back(&kept), Some((3 << 100, share)));
        assert_eq!(back(&kept[..kept.len() - 1]), None, "half a number");
        assert_eq!(back(&[]), None);
    }

    #[test]
    fn other_rows_and_another_fit_are_not_gone_on_with() {
        let known = Known { of: 7, elements: 2 };
        let rows = 5 << 90;
        let kept = |step: u32, known: &Known| -> Kept<Known> {
            let digest = "00".repeat(32);
            let file = serde_json::json!({
                "format": 1, "plan": digest, "session": digest, "step": step, "known": known, "own": own(rows, &[8, 9]),
            });
            serde_json::from_value(file).expect("a checkpoint")
        };
        assert_eq!(usable(&kept(6, &known), &known, rows), Some(vec![8, 9]));
        assert_eq!(usable(&kept(6, &known), &known, rows + 1), None, "rows");
        assert_eq!(usable(&kept(7, &known), &known, rows), None, "the end");
        for other in [
            Known { of: 8, ..known },
            Known {
                elements: 3,
                ..known
            },
        ] {
            assert_eq!(usable(&kept(6, &other), &known, rows), None);
            assert_eq!(
                usable(&kept(6, &other), &other, rows).is_some(),
                other.elements == 2
            );
        }
    }
}
