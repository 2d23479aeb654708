//! Sums over all holders that are opened to all computing seats, step by step: what a fit takes in which every holder
//! works on its own rows and the next step depends on the sums.
//!
//! What is opened, and how often at most, is fixed before the first step ([`SumsShape`]) and approved as a whole.
//! Counts come first: nothing is opened unless every required one is large enough, which is found on shares.
//!
//! Few numbers go through [`reveal`]; long vectors, such as the weights of a network, through secure aggregation
//! ([`masked`]).

pub mod masked;

use crate::arith::compare;
use crate::boolean;
use crate::correlate::{Needs, Stock};
use crate::cost::Cost;
use crate::disclose::{self, Disclosure, Terms, Values, reveal};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::bits;
use engine::share::Share;

/// The public shape of a computation by sums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SumsShape {
    /// Thresholds of counts that must all be reached.
    pub required: Vec<u64>,
    /// Thresholds of further counts, of which it is only told whether they are reached.
    pub told: Vec<u64>,
    /// Every possible count is below 2^`bound_bits`.
    pub bound_bits: u32,
    /// Comparisons of counts with thresholds that are found on the way: how many at once, and how often at most.
    pub probes: Option<Probes>,
    /// The kinds of openings: how many sums each has, and how often it is made at most.
    pub kinds: Vec<Kind>,
    /// Long vectors over Z_2^64 whose sums are opened by secure aggregation.
    pub vectors: Option<Kind>,
    /// Who gets the result. All computing seats see the sums.
    pub receivers: Vec<Seat>,
}

/// Comparisons of counts with thresholds that nobody knows beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probes {
    /// Counts that are compared at once.
    pub n_counts: usize,
    /// How often that is done at most.
    pub at_most: u32,
}

/// One kind of opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Numbers of one opening.
    pub n_sums: usize,
    /// How often it is made at most.
    pub at_most: u32,
}

impl SumsShape {
    /// What a holder approves.
    pub fn terms(&self) -> Terms {
        let number = |n: u64| n.to_le_bytes();
        let n_probes = usize::from(self.probes.is_some());
        let n_vectors = usize::from(self.vectors.is_some());
        let lens = [
            self.required.len(),
            self.told.len(),
            self.kinds.len(),
            n_probes,
            n_vectors,
        ];
        let mut fields: Vec<[u8; 8]> = lens.iter().map(|n| number(*n as u64)).collect();
        fields.push(number(u64::from(self.bound_bits)));
        fields.extend(self.required.iter().chain(&self.told).map(|n| number(*n)));
        if let Some(probes) = &self.probes {
            fields.push(number(probes.n_counts as u64));
            fields.push(number(u64::from(probes.at_most)));
        }
        for kind in self.kinds.iter().chain(&self.vectors) {
            fields.push(number(kind.n_sums as u64));
            fields.push(number(u64::from(kind.at_most)));
        }
        let fields: Vec<&[u8]> = fields.iter().map(|f| &f[..]).collect();
        Terms::new("entente/v1/terms/sums", &fields, &self.receivers)
    }

    /// Counts that are compared.
    fn n_counts(&self) -> usize {
        self.required.len() + self.told.len()
    }

    /// What a run takes and sends if every opening is made as often as it can be.
    pub fn price(&self, seats: Seats) -> Price {
        let Seats {
            n_seats,
            n_computing,
        } = seats;
        let everybody: Vec<Seat> = Seat::first(n_computing).collect();
        let (mut needs, mut cost) = (Needs::default(), Cost::none(n_seats));
        let probes = self.probes.map(|p| (p.n_counts, p.at_most));
        for (n_counts, times) in [(self.n_counts(), 1)].into_iter().chain(probes) {
            if n_counts == 0 {
                continue;
            }
            let n_lanes = lanes_for(n_counts);
            let once = compare::cost(n_seats, n_computing, self.bound_bits, n_lanes).then(
                &boolean::open_cost(n_seats, n_computing, bits::words_for(n_lanes)),
            );
            for _ in 0..times {
                needs += compare::needs(n_computing, self.bound_bits, n_lanes);
                cost = cost.then(&once);
            }
        }
        for kind in &self.kinds {
            let once = disclose::cost(n_seats, n_computing, 0, kind.n_sums, &everybody);
            for _ in 0..kind.at_most {
                cost = cost.then(&once);
            }
        }
        if let Some(vectors) = &self.vectors {
            let once = masked::cost(seats, vectors.n_sums);
            for _ in 0..vectors.at_most {
                cost = cost.then(&once);
            }
        }
        Price { needs, cost }
    }
}

/// Which counts reach their thresholds: compared on shares, and the answers opened.
async fn reached(
    session: &mut Session,
    mut counts: Vec<u64>,
    mut thresholds: Vec<u64>,
    bound_bits: u32,
    stock: &mut Stock,
) -> Result<Vec<bool>, ProtocolError> {
    let n_counts = counts.len();
    if n_counts == 0 {
        return Ok(Vec::new());
    }
    counts.resize(lanes_for(n_counts), 0);
    thresholds.resize(counts.len(), 0);
    let counts = Share::new(counts);
    let bits = compare::at_least(session, &counts, &thresholds, bound_bits, stock).await?;
    Ok(bits::unpack(&boolean::open(session, bits).await?, n_counts))
}

fn lanes_for(n_counts: usize) -> usize {
    bits::words_for(n_counts) * 64
}

/// A computation by sums that was approved and has begun.
pub struct OpenSums {
    shape: SumsShape,
    disclosure: Disclosure,
    n_opened: Vec<u32>,
    n_probed: u32,
    n_added_up: u32,
    is_large_enough: bool,
}

/// What is known of the counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enough {
    /// Which required counts are reached.
    pub required: Vec<bool>,
    /// Which of the others are.
    pub told: Vec<bool>,
}

impl OpenSums {
    /// Begins. Nothing is sent.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::NotApproved`].
    pub fn begin(
        session: &mut Session,
        shape: SumsShape,
        disclosure: Disclosure,
    ) -> Result<Self, ProtocolError> {
        session.ended_by(disclosure.check(&shape.terms(), session))?;
        Ok(Self {
            n_opened: vec![0; shape.kinds.len()],
            n_probed: 0,
            n_added_up: 0,
            is_large_enough: shape.required.is_empty(),
            shape,
            disclosure,
        })
    }

    /// Finds which counts over all holders reach their thresholds.
    ///
    /// # Seats     symmetric, any number ≥ 2
    /// # Inputs    this holder's own counts, the required ones first; takes the needs of [`SumsShape::price`]
    /// # Output    one answer for each count
    /// # Cost      that of [`compare::at_least`] and one round; nothing where nothing is counted
    /// # Security  semi-honest, all but one seat may be corrupt; all computing seats learn the answers and nothing else
    /// # Errors    [`ProtocolError::InvalidInput`] and [`ProtocolError::OutOfCorrelations`] before anything is sent,
    ///   [`ProtocolError::Link`], [`ProtocolError::PeerMisbehaved`]
    /// # Source    as [`compare::at_least`]
    pub async fn enough(
        &mut self,
        session: &mut Session,
        counts: Vec<u64>,
        stock: &mut Stock,
    ) -> Result<Enough, ProtocolError> {
        let shape = &self.shape;
        let is_within = counts.iter().all(|n| n >> shape.bound_bits.min(63) == 0);
        if counts.len() != shape.n_counts() || !is_within {
            let outcome = Err(ProtocolError::InvalidInput {
                what: "there is a count below its declared bound for each threshold",
            });
            return session.ended_by(outcome);
        }
        let thresholds = [&shape.required[..], &shape.told[..]].concat();
        let mut answers = reached(session, counts, thresholds, shape.bound_bits, stock).await?;
        let told = answers.split_off(shape.required.len());
        self.is_large_enough = answers.iter().all(|is_reached| *is_reached);
        Ok(Enough {
            required: answers,
            told,
        })
    }

    /// Finds which counts over all holders reach thresholds that all seats know by now.
    ///
    /// # Seats     symmetric, any number ≥ 2
    /// # Inputs    this holder's own counts, at most as many as the shape's probes have, and a threshold for each
    /// # Output    one answer for each count
    /// # Cost      that of [`compare::at_least`] for all counts of a probe, and one round
    /// # Security  semi-honest, all but one seat may be corrupt; all computing seats learn the answers and nothing else
    /// # Errors    [`ProtocolError::NotApproved`] before anything is sent: for more or other probes than approved, and unless
    ///   [`OpenSums::enough`] has found all required counts large enough; [`ProtocolError::InvalidInput`],
    ///   [`ProtocolError::OutOfCorrelations`], [`ProtocolError::Link`], [`ProtocolError::PeerMisbehaved`]
    /// # Source    as [`compare::at_least`]
    pub async fn probe(
        &mut self,
        session: &mut Session,
        mut counts: Vec<u64>,
        mut thresholds: Vec<u64>,
        stock: &mut Stock,
    ) -> Result<Vec<bool>, ProtocolError> {
        let bound_bits = self.shape.bound_bits;
        let (n_counts, allowed) = (counts.len(), self.shape.probes);
        let is_allowed = |p: &Probes| n_counts <= p.n_counts && self.n_probed < p.at_most;
        let allowed = allowed.filter(|p| self.is_large_enough && is_allowed(p));
        let is_within = counts.iter().all(|n| n >> bound_bits.min(63) == 0);
        let outcome = match allowed {
            None => Err(ProtocolError::NotApproved {
                what: "a probe of this size, after counts that are large enough",
            }),
            Some(_) if !is_within || thresholds.len() != n_counts => {
                Err(ProtocolError::InvalidInput {
                    what: "there is a count below its declared bound for each threshold",
                })
            }
            Some(probes) => Ok(probes),
        };
        let probes = session.ended_by(outcome)?;
        self.n_probed += 1;
        // What is sent does not depend on how many are asked for.
        counts.resize(probes.n_counts, 0);
        thresholds.resize(probes.n_counts, 0);
        let mut answers = reached(session, counts, thresholds, bound_bits, stock).await?;
        answers.truncate(n_counts);
        Ok(answers)
    }

    /// Adds this holder's numbers to those of the others, mod 2^128, and opens the sums to all computing seats.
    ///
    /// # Seats     symmetric, any number ≥ 2
    /// # Inputs    `kind`: which of the shape's openings; `mine`: as many numbers as it has
    /// # Output    the sums
    /// # Cost      2 rounds; [`disclose::cost`]
    /// # Security  semi-honest, all but one seat may be corrupt; reveals the sums to all computing seats
    /// # Errors    [`ProtocolError::NotApproved`] before anything is sent: for another number of sums, for more openings
    ///   than approved, and unless [`OpenSums::enough`] has found all required counts large enough;
    ///   [`ProtocolError::Link`], [`ProtocolError::PeerMisbehaved`], [`ProtocolError::CheckFailed`]
    /// # Source    as [`reveal`]
    pub async fn open(
        &mut self,
        session: &mut Session,
        kind: usize,
        mine: Vec<u128>,
    ) -> Result<Vec<u128>, ProtocolError> {
        let allowed = self.shape.kinds.get(kind).copied();
        let is_allowed = self.is_large_enough
            && allowed.is_some_and(|k| k.n_sums == mine.len() && self.n_opened[kind] < k.at_most);
        if !is_allowed {
            let what = "an opening of this kind, after counts that are large enough";
            return session.ended_by(Err(ProtocolError::NotApproved { what }));
        }
        self.n_opened[kind] += 1;
        let everybody: Vec<Seat> = session.computing_seats().collect();
        let terms = Terms::of_values(0, mine.len(), &everybody);
        let values = Values {
            narrow: Share::zero(0),
            wide: Share::new(mine),
        };
        let part = self.disclosure.part(terms);
        let revealed = reveal(session, values, &everybody, part).await?;
        Ok(revealed.map(|r| r.wide).unwrap_or_default())
    }

    /// Adds this holder's vector to those of the others, mod 2^64, by secure aggregation, and opens the sums to all
    /// computing seats.
    ///
    /// # Seats     symmetric, any number ≥ 2
    /// # Inputs    `mine`: as many numbers as the shape's vectors have
    /// # Output    the sums
    /// # Cost      [`masked::cost`]
    /// # Security  semi-honest, all but one seat may be corrupt; reveals the sums to all computing seats
    /// # Errors    [`ProtocolError::NotApproved`] before anything is sent: for a vector of another length, for more vectors
    ///   than approved, and unless [`OpenSums::enough`] has found all required counts large enough; those of
    ///   [`masked::sum`]
    /// # Source    as [`masked::sum`]
    pub async fn add_up(
        &mut self,
        session: &mut Session,
        mine: Vec<u64>,
    ) -> Result<Vec<u64>, ProtocolError> {
        let is_next = |k: Kind| k.n_sums == mine.len() && self.n_added_up < k.at_most;
        if !self.is_large_enough || !self.shape.vectors.is_some_and(is_next) {
            let what = "a vector of this length, after counts that are large enough";
            return session.ended_by(Err(ProtocolError::NotApproved { what }));
        }
        self.n_added_up += 1;
        let everybody: Vec<Seat> = session.computing_seats().collect();
        let terms = Terms::of_values(mine.len(), 0, &everybody);
        masked::sum(session, mine, self.disclosure.part(terms)).await
    }

    /// Waits until all computing seats have come here, and says nothing.
    ///
    /// # Seats     symmetric, any number ≥ 2
    /// # Inputs    none
    /// # Output    none
    /// # Cost      2 rounds of empty openings, which no declared cost counts: a computation that goes well has none
    /// # Security  semi-honest; reveals nothing
    /// # Errors    [`ProtocolError::Link`], [`ProtocolError::PeerMisbehaved`], [`ProtocolError::CheckFailed`]
    /// # Source    as [`reveal`]
    pub async fn meet(&mut self, session: &mut Session) -> Result<(), ProtocolError> {
        let everybody: Vec<Seat> = session.computing_seats().collect();
        let part = self.disclosure.part(Terms::of_values(0, 0, &everybody));
        let values = Values {
            narrow: Share::zero(0),
            wide: Share::zero(0),
        };
        reveal(session, values, &everybody, part).await.map(|_| ())
    }
}
