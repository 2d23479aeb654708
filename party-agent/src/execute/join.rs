//! A plan's join between holders on one session: the relations' totals by key meet in shares, and what comes out is
//! released as the totals of any query.

use engine::prg::{Prg, Seed};
use engine::share::Share;
use protocols::aggregate::LocalTotals;
use protocols::correlate::{Source, Stock};
use protocols::disclose::Disclosure;
use protocols::error::ProtocolError;
use protocols::join;
use protocols::join::largest::{self, Largest};
use protocols::psi::keys::{KeyHash, Normalise};
use protocols::psi::{self, Item};
use protocols::session::Session;
use protocols::stats::different::DifferentRun;

use super::computed::Rows;
use super::correlated::Correlated;
use super::ranked::Ranked;
use super::{Broken, Computed, Failure, Output, Stage, Task, correlated, internal, steps};
use crate::local::{self, GroupKeys, Joined, LocalInputs};
use crate::plan::{Contributions, JoinPlan, JoinSizes, Procedure, RankedPlan, RelationPlan, Told};

impl Task<'_> {
    /// Reads this holder's rows, joins, and releases.
    pub(super) async fn join(
        &self,
        session: &mut Session,
        of: &JoinPlan,
        disclosure: Disclosure,
    ) -> Result<Computed, Broken> {
        let (disclosure, of_keys) = self.disclosures(of, disclosure)?;
        self.progress.enter(Stage::Read);
        let session_id = *session.session_id();
        let mine = self.read_joined(&session_id, of).await?;
        let source = self.plan.source();
        // A dealer knows the published sizes alone, so tables are filled up to them.
        let is_dealt = matches!(source, Some(Source::Dealer { .. }));
        let bounds = of.bounds(&self.plan.keys);
        let told = of.told(&self.plan.keys, is_dealt);
        let sizes = announced(session, of, mine.as_ref(), (bounds, told)).await?;
        let hub = match is_dealt {
            true => 0,
            false => self.plan.cheapest_hub(of, &sizes),
        };
        let (of, sizes) = (&of.with_hub(hub, &self.plan.keys), sizes.with_hub(hub));
        let mine = mine.map(|(place, joined)| (moved(place, hub), joined));
        let needs = self.plan.needs_of_stars(of, &sizes);
        let mut stock = self.stock(session, &needs).await?;
        self.progress.enter(Stage::Compute);
        let all = (of, &sizes);
        let totals = self.stars(session, all, mine.as_ref(), &mut stock).await?;
        let totals = self
            .met(session, all, (mine.as_ref(), totals), &mut stock)
            .await?;
        let report = mine.as_ref().map(|(_, joined)| joined.report());
        let ranked = self.ranked(session, all, mine.as_ref(), &mut stock).await?;
        let correlated = self.beside(session, all, mine.as_ref(), &mut stock).await?;
        let computed = match &of.computed {
            Some(plan) => {
                let rows = Rows::new(self.plan, plan, &sizes);
                let mine = mine.as_ref();
                Some((rows.numbers(session, mine, &mut stock).await?, rows))
            }
            None => None,
        };
        let dominant = self.dominant(session, all, mine.as_ref(), &mut stock);
        let dominant = dominant.await?;
        let groups = self.group_keys(session, mine.as_ref());
        let own = (mine.as_ref(), &mut stock);
        let matched_keys = self.matched_keys(session, all, own, of_keys).await?;
        drop(mine);
        let mut inputs = LocalInputs::of_join(self.plan, of, totals);
        inputs.groups = groups;
        self.compared_sums(session, &dominant, &mut inputs);
        steps::on_shares(session, self.plan, &mut inputs, &mut stock).await?;
        for (plan, runs) in ranked {
            let ranks = Ranked::new(self.plan, (of, plan), &sizes);
            let totals = &mut inputs.totals;
            ranks.find(session, runs, totals, &mut stock).await?;
        }
        if let Some(first) = of.correlated.first() {
            let join = &first.weights.join;
            let totals = &mut inputs.totals;
            correlated::rank(session, (self.plan, join), correlated, totals, &mut stock).await?;
        }
        if let Some((numbers, rows)) = computed {
            let totals = &mut inputs.totals;
            rows.find(session, &numbers, totals, &mut stock).await?;
        }
        let told = steps::release(session, self.plan, inputs, stock, disclosure).await?;
        Ok(Computed {
            output: told.result.map(Output::Totals),
            rows_used: report.as_ref().map_or(0, |r| r.rows),
            keys: report,
            traffic: session.traffic(),
            model: None,
            contributions: told.contributions,
            matched_keys,
        })
    }

    /// How often each row counts of arguments whose rows their holders put in order.
    async fn ranked<'p>(
        &self,
        session: &mut Session,
        (of, sizes): (&'p JoinPlan, &JoinSizes),
        mine: Option<&(usize, Joined)>,
        stock: &mut Stock,
    ) -> Result<Vec<(&'p RankedPlan, Vec<DifferentRun>)>, ProtocolError> {
        let mut ranked: Vec<(&'p RankedPlan, Vec<DifferentRun>)> = Vec::new();
        for plan in &of.ranked {
            let ranks = Ranked::new(self.plan, (of, plan), sizes);
            let runs = ranks.runs(session, mine, stock).await?;
            match ranked.last_mut() {
                // Rows of one measure in several parts.
                Some((last, all)) if last.measure == plan.measure => all.extend(runs),
                _ => ranked.push((plan, runs)),
            }
        }
        Ok(ranked)
    }

    /// This seat's shares of the totals over all stars, and of what holders know by themselves.
    async fn stars(
        &self,
        session: &mut Session,
        (of, sizes): (&JoinPlan, &JoinSizes),
        mine: Option<&(usize, Joined)>,
        stock: &mut Stock,
    ) -> Result<LocalTotals, Broken> {
        let is_dealt = matches!(self.plan.source(), Some(Source::Dealer { .. }));
        let mut totals = of.zeros(&self.plan.shape);
        let groups = of.groups(&self.plan.keys);
        for star in 0..of.n_stars() {
            let shape = of.star(star, sizes, &groups, is_dealt);
            let inputs = inputs(session, (of, sizes), mine, star);
            let found = join::totals(session, &shape, inputs, stock).await?;
            let narrow: Vec<&[u64]> = found.narrow.iter().map(Share::as_slice).collect();
            let wide: Vec<&[u128]> = found.wide.iter().map(Share::as_slice).collect();
            of.add_star(&mut totals, &narrow, &wide);
        }
        if let Some((place, joined)) = mine {
            for term in of.own.iter().filter(|term| term.relation == *place) {
                let own = joined.own(term.column, term.keyless);
                of.add_own(&mut totals, term, (&own, &groups));
            }
        }
        of.spread_matched(&mut totals);
        Ok(totals)
    }

    /// Counts the keys of which some row counts, and adds them to the totals.
    async fn met(
        &self,
        session: &mut Session,
        (of, sizes): (&JoinPlan, &JoinSizes),
        (mine, mut totals): (Option<&(usize, Joined)>, LocalTotals),
        stock: &mut Stock,
    ) -> Result<LocalTotals, Broken> {
        let Some(met) = &of.met else {
            return Ok(totals);
        };
        let is_dealt = matches!(self.plan.source(), Some(Source::Dealer { .. }));
        let shape = met.shape(sizes, &self.plan.keys, is_dealt);
        let inputs = inputs(session, (&met.join, sizes), mine, 0);
        let found = join::met::met(session, &shape, inputs, stock).await?;
        let found: Vec<&[u64]> = found.iter().map(Share::as_slice).collect();
        met.put(&mut totals, &found);
        Ok(totals)
    }

    /// This seat's shares of the keys of groups that nobody lists.
    fn group_keys(&self, session: &Session, mine: Option<&(usize, Joined)>) -> Option<GroupKeys> {
        let own = mine.map_or(&[][..], |(_, joined)| joined.coded());
        GroupKeys::of_cells(self.plan, own, session.seat().index() == 0)
    }

    /// Arguments whose rows are ranked beside each other, and how often each row counts.
    async fn beside(
        &self,
        session: &mut Session,
        (of, sizes): (&JoinPlan, &JoinSizes),
        mine: Option<&(usize, Joined)>,
        stock: &mut Stock,
    ) -> Result<Vec<correlated::Rows>, ProtocolError> {
        let mut all = Vec::with_capacity(of.correlated.len());
        for plan in &of.correlated {
            let ranks = Correlated::new(self.plan, (of, plan), sizes);
            all.push(ranks.rows(session, mine, stock).await?);
        }
        Ok(all)
    }

    /// The largest contributions to the sums that are held against rules about dominance.
    async fn dominant(
        &self,
        session: &mut Session,
        (of, sizes): (&JoinPlan, &JoinSizes),
        mine: Option<&(usize, Joined)>,
        stock: &mut Stock,
    ) -> Result<Vec<Largest>, Broken> {
        let Some(dominant) = &of.dominant else {
            return Ok(Vec::new());
        };
        let is_dealt = matches!(self.plan.source(), Some(Source::Dealer { .. }));
        let shape = dominant.shape(sizes, &self.plan.keys, is_dealt);
        let inputs = inputs(session, (&dominant.join, sizes), mine, 0);
        Ok(largest::largest(session, &shape, inputs, stock).await?)
    }

    /// Writes the numbers that rules about dominance compare with 0 to the totals.
    fn compared_sums(&self, session: &Session, found: &[Largest], inputs: &mut LocalInputs) {
        let moves_up = session.seat().index() == 0;
        let (Procedure::Join(of), Some(rules)) = (&self.plan.procedure, &self.plan.dominance)
        else {
            return;
        };
        let Some(dominant) = &of.dominant else {
            return;
        };
        let found = found.iter().map(|of| {
            let largest = of.largest.iter().map(Share::as_slice);
            (of.total.as_slice(), largest.collect())
        });
        let found: Vec<Contributions<'_>> = found.collect();
        dominant.put(rules, &mut inputs.totals, (&found, moves_up));
    }

    /// This holder's relation and its totals by key; `None` at a mere receiver.
    async fn read_joined(
        &self,
        session_id: &[u8; 32],
        of: &JoinPlan,
    ) -> Result<Option<(usize, Joined)>, Failure> {
        let me = self.binding.me.index();
        let is_mine = |r: &RelationPlan| r.holders.iter().any(|(seat, _)| *seat == me);
        let Some(place) = of.relations.iter().position(is_mine) else {
            return Ok(None);
        };
        let rule = Normalise::named(&of.normalise);
        let rule = rule.ok_or_else(|| internal("the plan has an unknown rule for spellings"))?;
        let hash = KeyHash::new(session_id, &of.label, rule);
        let party = &self.plan.seats[me];
        let local = self.plan.locals.get(party);
        let rows_at_most = local.map_or(1, |local| local.rows_at_most.max(1));
        let progress = |rows: u64| self.progress.within(rows as f64 / rows_at_most as f64);
        let relation = &of.relations[place];
        let read = local::joined(self.plan, relation, party, self.source, &hash, &progress).await;
        let joined = read.map_err(|e| Failure::source(&e))?;
        Ok(Some((place, joined)))
    }
}

/// Tells all others how many keys come and in how many groups each stands at most, as far as the plan says so, and hears
/// theirs.
async fn announced(
    session: &mut Session,
    of: &JoinPlan,
    mine: Option<&(usize, Joined)>,
    (bounds, told): (JoinSizes, Told),
) -> Result<JoinSizes, ProtocolError> {
    let mut sizes = bounds;
    let place_of = |seat: usize| {
        of.relations.iter().enumerate().find_map(|(r, relation)| {
            let holder = relation.holders.iter().position(|(s, _)| *s == seat);
            holder.map(|h| (r, h))
        })
    };
    let n_mine = mine.map_or(0, |(_, joined)| joined.n_keys());
    let mine = mine.filter(|(place, _)| told.groups_of(*place));
    let groups = mine.map_or(0, |(_, joined)| joined.groups_a_key());
    if let Some((r, h)) = place_of(session.seat().index()) {
        if told.keys {
            sizes.keys[r][h] = n_mine;
        }
        if told.groups_of(r) {
            sizes.groups_a_key[r][h] = groups;
        }
    }
    for peer in session.peers() {
        let place = place_of(peer.index());
        let most_keys = place.map_or(0, |(r, h)| sizes.keys[r][h]);
        let most_groups = place.map_or(0, |(r, h)| sizes.groups_a_key[r][h]);
        if told.keys {
            let n_theirs = psi::announce(session, peer, n_mine, most_keys).await?;
            if let Some((r, h)) = place {
                sizes.keys[r][h] = n_theirs;
            }
        }
        if told.groups {
            let n_groups = psi::announce(session, peer, groups, most_groups).await?;
            if let Some((r, h)) = place.filter(|(r, _)| told.groups_of(*r)) {
                sizes.groups_a_key[r][h] = n_groups.max(1);
            }
        }
    }
    // What is compared, computed row by row, counted by such numbers, or told of keys is in bins, of which there are none
    // without keys.
    let has_bins = of.computed.is_some() || of.met.is_some();
    let has_bins = has_bins || of.dominant.is_some() || of.shown.is_some();
    if !of.compared.is_empty() || has_bins {
        let keys = sizes.keys.iter_mut().flatten();
        keys.for_each(|n| *n = (*n).max(1));
    }
    Ok(sizes)
}

/// The place of a relation once the one at `hub` has become the first.
fn moved(place: usize, hub: usize) -> usize {
    match place {
        p if p == hub => 0,
        p if p < hub => p + 1,
        p => p,
    }
}

/// Which holder of its relation this seat is.
pub(super) fn holder(of: &JoinPlan, place: usize, session: &Session) -> Option<usize> {
    let me = session.seat().index();
    let mut holders = of.relations[place].holders.iter();
    holders.position(|(seat, _)| *seat == me)
}

/// What this party brings to a star, filled up to the size that all know of.
pub(super) fn inputs(
    session: &mut Session,
    (of, sizes): (&JoinPlan, &JoinSizes),
    mine: Option<&(usize, Joined)>,
    star: usize,
) -> Option<join::Inputs> {
    let (place, joined) = mine?;
    let holder = holder(of, *place, session)?;
    let brought = of.brings(*place, holder, star)?;
    let bound = sizes.keys[*place][holder];
    let padding = padding(session, bound.saturating_sub(joined.n_keys()));
    Some(joined.inputs(&brought, &padding, (*place, holder) == (0, star)))
}

/// Keys that nobody has.
pub(super) fn padding(session: &mut Session, n: usize) -> Vec<Item> {
    let seed: Seed = session.own_seed("keys that fill a table up");
    let mut words = vec![0u128; n];
    Prg::new(&seed, 0).fill_ring(&mut words);
    words.into_iter().map(u128::to_le_bytes).collect()
}
