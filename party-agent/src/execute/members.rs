//! Which of its own keys all tables of a join have: told to the receivers that hold one of them.

use protocols::correlate::Stock;
use protocols::disclose::Disclosure;
use protocols::join::members::{self, MemberShape};
use protocols::session::Session;
use zeroize::Zeroizing;

use super::join::{holder, padding};
use super::{Broken, Task, internal};
use crate::local::Joined;
use crate::plan::{JoinPlan, JoinSizes, Release};
use crate::result::MatchedKeys;

/// This holder's relation, and its totals by key.
type Own<'a> = Option<&'a (usize, Joined)>;

impl Task<'_> {
    /// Takes apart what was approved: the release, and each telling of keys.
    pub(super) fn disclosures(
        &self,
        of: &JoinPlan,
        disclosure: Disclosure,
    ) -> Result<(Disclosure, Vec<Disclosure>), Broken> {
        if of.shown.is_none() {
            return Ok((disclosure, Vec::new()));
        }
        let release: Release = self.plan.release();
        let parts = std::iter::once(release.terms()).chain(of.terms_of_keys());
        let mut parts = disclosure.split(parts.collect())?.into_iter();
        let first = parts.next();
        let first = first.ok_or_else(|| internal("a release was approved of nothing"))?;
        Ok((first, parts.collect()))
    }

    /// Tells keys, to one holder after the other. What this one learns.
    pub(super) async fn matched_keys(
        &self,
        session: &mut Session,
        (of, sizes): (&JoinPlan, &JoinSizes),
        (mine, stock): (Own<'_>, &mut Stock),
        disclosures: Vec<Disclosure>,
    ) -> Result<Option<MatchedKeys>, Broken> {
        let mut learnt = None;
        for (shape, disclosure) in of.members(sizes).iter().zip(disclosures) {
            let keys = keys(session, (of, sizes), mine, shape);
            let told = members::members(session, shape, keys, stock, disclosure).await?;
            let Some((found, (place, joined))) = told.of_keys.zip(mine) else {
                continue;
            };
            let texts = joined.texts_of_keys();
            let texts = texts.ok_or_else(|| internal("a receiver of keys has not kept them"))?;
            // Behind the keys come those that fill the table up, which nobody has.
            let matched = texts.iter().zip(found).filter(|(_, is)| *is);
            let matched = matched.map(|(text, _)| text.clone());
            learnt = Some(MatchedKeys {
                n_columns: of.relations[*place].key_columns,
                keys: Zeroizing::new(matched.collect()),
            });
        }
        Ok(learnt)
    }
}

/// This holder's keys, filled up to the size that all know of, where its relation takes part.
fn keys(
    session: &mut Session,
    (of, sizes): (&JoinPlan, &JoinSizes),
    mine: Own<'_>,
    shape: &MemberShape,
) -> Option<Vec<protocols::psi::Item>> {
    let (place, joined) = mine?;
    let me = session.seat();
    let mut others = shape.others.iter().flatten();
    if shape.hub.seat != me && !others.any(|holder| holder.seat == me) {
        return None;
    }
    let bound = sizes.keys[*place][holder(of, *place, session)?].max(1);
    let padding = padding(session, bound.saturating_sub(joined.n_keys()));
    Some(joined.keys(&padding))
}
