//! A lookup over several holders, of which the asker learns the sum alone.
//!
//! ```text
//! once a version    each holder: y = F(k, w) for every record (w, v)
//! round 1           asker → holders: its keys, blinded
//! round 2           holders → asker: F of them, blinded, with a proof; and a store, in which a
//!                   record's y finds T_b and v − S_b for each of its three bins b: noise to others
//! asker             places its keys in bins, one in each, and decodes T'_b and V_b
//! circuit           match_b = (T'_b = T_b);  Σ over holders of match_b·(V_b + S_b), revealed to the
//!                   asker for each bin
//! ```
//!
//! T_b and S_b are random and known to the holder alone; where the asker's key is not in the table,
//! or a bin is empty, it decodes noise, and T'_b = T_b with probability under 2^−40 over all bins
//! and holders. Nobody sees a match: it exists in shares only. The OPRF is applied to keys, not to
//! pairs of key and bin: what a table costs is paid once a version, and a run takes hashing alone.

use super::{Asked, hear_answers, put_questions, rule, try_answer};
use crate::arith::{bits, mux};
use crate::correlate::{Needs, Stock};
use crate::cost::{Cost, Stream};
use crate::disclose::{self, Disclosure, Terms, Values};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::psi::Item;
use crate::session::Session;
use crate::wire::{Wire, bytes_message};
use engine::block::Block;
use engine::cuckoo;
use engine::curve::Encoded;
use engine::hash::{self, KeyedHash};
use engine::okvs::{Okvs, Size};
use engine::oprf::{OprfError, Output, PROOF_BYTES, ServerKey};
use engine::params::{POINT_BYTES, STATISTICAL_BITS};
use engine::prg::{Prg, Seed};
use engine::ring;
use engine::share::Share;
use engine::share::boolean::{BitShare, to_planes};
use rayon::prelude::*;
use std::sync::Arc;
use zeroize::Zeroize;

/// What the asker learns for each of its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combine {
    /// The sum of the values under it, modulo 2^64.
    Sum,
    /// 1 if any holder has it, else 0.
    Any,
}

/// What all seats know before they start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The seat that asks and learns.
    pub asker: Seat,
    /// The holders, and how many records each has.
    pub holders: Vec<(Seat, usize)>,
    /// Number of keys that are asked for.
    pub n_questions: usize,
    /// What is learnt.
    pub combine: Combine,
}

impl Shape {
    fn n_bins(&self) -> usize {
        cuckoo::n_bins(self.n_questions)
    }

    /// Bins of all holders.
    fn n_lanes(&self) -> usize {
        self.n_bins() * self.holders.len()
    }

    /// Bits of T that are compared.
    fn target_bits(&self) -> usize {
        let log = self.n_lanes().next_power_of_two().trailing_zeros() as usize;
        (STATISTICAL_BITS + log).min(64)
    }

    fn store_size(n_records: usize) -> Size {
        Size::new(cuckoo::CHOICES * n_records)
    }

    /// The terms of the disclosure that a run needs at every seat.
    pub fn terms(&self) -> Terms {
        Terms::of_values(self.n_bins(), 0, &[self.asker])
    }
}

/// A holder's records under its key: what is worked out once for each version.
pub struct PreparedTable {
    key: Arc<ServerKey>,
    records: Vec<Prepared>,
}

/// A record: its key, F of the key, and the value.
struct Prepared {
    item: Item,
    y: Output,
    value: u64,
}

impl Drop for Prepared {
    fn drop(&mut self) {
        self.value.zeroize();
    }
}

impl PreparedTable {
    /// Applies the key to the distinct keys of these records.
    ///
    /// # Errors
    ///
    /// [`OprfError`] with a probability that is none.
    pub fn new(key: Arc<ServerKey>, records: &[(Item, u64)]) -> Result<Self, OprfError> {
        let items: Vec<Item> = records.iter().map(|(item, _)| *item).collect();
        let outputs = key.evaluate(&items)?;
        let records = outputs.into_iter().zip(records);
        let records = records.map(|(y, (item, value))| Prepared {
            item: *item,
            y,
            value: *value,
        });
        Ok(Self {
            key,
            records: records.collect(),
        })
    }

    /// Number of records.
    pub fn n_records(&self) -> usize {
        self.records.len()
    }
}

/// What a seat brings.
pub enum Input {
    /// The asker's keys, distinct, and the public key of every holder's table.
    Questions(Vec<Item>, Vec<Encoded>),
    /// A holder's table.
    Records(Arc<PreparedTable>),
}

/// Looks keys up in all holders' tables; the asker learns sums, and nothing of a single table.
///
/// # Seats     `shape.asker` and two or more `shape.holders` are all computing seats
/// # Inputs    `input`: what the seat's role has; takes [`price`]; `disclosure`: of [`Shape::terms`]
/// # Output    at the asker one number for each of its keys
/// # Cost      2 rounds, those of a comparison and a selection over 1.3·n + 128 bins and holder, and 2 to
///   reveal; [`price`]
/// # Security  semi-honest, all seats but one may be corrupt; reveals all sizes, and to the asker one
///   number for each key. As `super::ask` towards holders
/// # Errors    [`ProtocolError::Link`], [`ProtocolError::PeerMisbehaved`], [`ProtocolError::Unlucky`],
///   [`ProtocolError::InvalidInput`], [`ProtocolError::NotApproved`],
///   [`ProtocolError::OutOfCorrelations`]
/// # Source    circuit-PSI in a star: Pinkas–Schneider–Tkachenko–Yanai, EUROCRYPT '19, with the store of
///   2022/320; OPRF of RFC 9497. Differs: the OPRF is of keys alone, and bins enter by hashing
pub async fn look_up(
    session: &mut Session,
    shape: &Shape,
    input: Input,
    stock: &mut Stock,
    disclosure: Disclosure,
) -> Result<Option<Vec<u64>>, ProtocolError> {
    let outcome = try_look_up(session, shape, input, stock, disclosure).await;
    session.ended_by(outcome)
}

async fn try_look_up(
    session: &mut Session,
    shape: &Shape,
    input: Input,
    stock: &mut Stock,
    disclosure: Disclosure,
) -> Result<Option<Vec<u64>>, ProtocolError> {
    check(session, shape, &input)?;
    stock.check(&price(Seats::of(session), shape).needs)?;
    let (lanes, places) = match input {
        Input::Questions(questions, keys) => {
            let (lanes, places) = question(session, shape, questions, keys).await?;
            (lanes, Some(places))
        }
        Input::Records(table) => (hold(session, shape, table).await?, None),
    };
    let sums = circuit(session, shape, lanes, stock).await?;
    let values = Values {
        narrow: sums,
        wide: Share::zero(0),
    };
    let revealed = disclose::reveal(session, values, &[shape.asker], disclosure).await?;
    Ok(revealed.zip(places).map(|(revealed, places)| {
        let sums = places.iter().map(|bin| revealed.narrow[*bin]);
        sums.collect()
    }))
}

fn check(session: &Session, shape: &Shape, input: &Input) -> Result<(), ProtocolError> {
    let invalid = |what| Err(ProtocolError::InvalidInput { what });
    if shape.holders.len() < 2 {
        return invalid("a sum over one holder hides nothing: ask that holder");
    }
    let mut seats: Vec<Seat> = shape.holders.iter().map(|(seat, _)| *seat).collect();
    seats.push(shape.asker);
    seats.sort_unstable();
    if !seats.into_iter().eq(session.computing_seats()) {
        return invalid("asker and holders are all computing seats, each once");
    }
    let me = session.seat();
    let holder = shape.holders.iter().find(|(seat, _)| *seat == me);
    let fits = match (input, holder) {
        (Input::Questions(questions, keys), None) => {
            questions.len() == shape.n_questions && keys.len() == shape.holders.len()
        }
        (Input::Records(table), Some((_, n_records))) => table.n_records() == *n_records,
        _ => false,
    };
    match fits {
        true => Ok(()),
        false => invalid("each seat brings what the shape says of it"),
    }
}

/// For every bin of every holder: T or T', and the seat's part of the payload. 0 where a seat has
/// no part in it.
struct Lanes {
    targets: Vec<u64>,
    payloads: Vec<u64>,
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.targets.zeroize();
        self.payloads.zeroize();
    }
}

/// Hashes of one run: what leads to bins, and what turns y and a bin into keys and masks.
struct BinHash(KeyedHash);

impl BinHash {
    fn new(session: &mut Session) -> Self {
        let run = session.next_public("combined lookup").to_le_bytes();
        let fields = [&session.session_id()[..], session.path().as_bytes(), &run];
        Self(KeyedHash::new("entente/v1/lookup/combined/bins", &fields))
    }

    fn bins(&self, item: &Item, n_bins: usize) -> [usize; cuckoo::CHOICES] {
        cuckoo::bins(self.0.hash(item), n_bins)
    }

    /// The key under which y stores something for this bin, and the mask of what it stores.
    fn entry(&self, y: &Output, bin: usize) -> (Block, Block) {
        let [key, mask] = [0u8, 1].map(|part| {
            let mut message = [0; 64 + 8 + 1];
            message[..64].copy_from_slice(y.as_bytes());
            message[64..72].copy_from_slice(&(bin as u64).to_le_bytes());
            message[72] = part;
            let hash = self.0.hash(&message);
            message.zeroize();
            Block(u128::from_le_bytes(hash))
        });
        (key, mask)
    }
}

/// The asker's part before the circuit. Also returns the bin of each question.
async fn question(
    session: &mut Session,
    shape: &Shape,
    questions: Vec<Item>,
    keys: Vec<Encoded>,
) -> Result<(Lanes, Vec<usize>), ProtocolError> {
    let hash = BinHash::new(session);
    let n_bins = shape.n_bins();
    let choices: Vec<_> = questions.iter().map(|q| hash.bins(q, n_bins)).collect();
    let held = cuckoo::place(&choices, n_bins).ok_or(ProtocolError::Unlucky {
        what: "placing keys in bins",
    })?;
    let mut places = vec![0; questions.len()];
    for (bin, item) in held.iter().enumerate() {
        if let Some(item) = item {
            places[*item] = bin;
        }
    }
    let mut asked: Vec<Asked> = Vec::new();
    for (holder, _) in &shape.holders {
        asked.push(put_questions(session, *holder, questions.clone()).await?);
    }
    let filler = session.own_seed("keys of empty bins");
    let reader = Arc::new(Reader { hash, held, filler });
    let mut lanes = Lanes {
        targets: Vec::with_capacity(shape.n_lanes()),
        payloads: Vec::with_capacity(shape.n_lanes()),
    };
    for ((at, asked), public) in shape.holders.iter().zip(asked).zip(keys) {
        let (holder, n_records) = *at;
        let outputs = hear_answers(session, holder, asked, public).await?;
        let columns = Shape::store_size(n_records).columns();
        let hints: Hints = session.recv(holder, columns).await?;
        let (reader, number) = (reader.clone(), u64::from(holder.0));
        let kernel = move || reader.decode(hints, n_records, &outputs, number);
        for Block(value) in session.compute().run(kernel).await {
            lanes.targets.push(value as u64);
            lanes.payloads.push((value >> 64) as u64);
        }
    }
    Ok((lanes, places))
}

/// What the asker reads stores with.
struct Reader {
    hash: BinHash,
    /// The question in each bin.
    held: Vec<Option<usize>>,
    filler: Seed,
}

impl Reader {
    /// What each bin finds in a holder's store; noise in an empty one.
    fn decode(
        &self,
        hints: Hints,
        n_records: usize,
        outputs: &[Output],
        number: u64,
    ) -> Vec<Block> {
        let mut prg = Prg::new(&self.filler, number);
        let mut random = || {
            let mut bytes = [0; 16];
            prg.fill_bytes(&mut bytes);
            Block(u128::from_le_bytes(bytes))
        };
        let entries = self.held.iter().enumerate().map(|(bin, item)| match item {
            Some(item) => self.hash.entry(&outputs[*item], bin),
            None => (random(), random()),
        });
        let (keys, masks): (Vec<Block>, Vec<Block>) = entries.unzip();
        let (seed, columns) = hints.open();
        let store = Okvs::new(Shape::store_size(n_records), &seed);
        let values = store.decode(&columns, &keys).into_iter().zip(masks);
        values
            .map(|(value, mask)| Block(value.0 ^ mask.0))
            .collect()
    }
}

/// A holder's part before the circuit.
async fn hold(
    session: &mut Session,
    shape: &Shape,
    table: Arc<PreparedTable>,
) -> Result<Lanes, ProtocolError> {
    let hash = BinHash::new(session);
    let (asker, n_bins) = (shape.asker, shape.n_bins());
    let n_asked = try_answer(session, asker, table.key.clone(), shape.n_questions).await?;
    if n_asked != shape.n_questions {
        return Err(rule(asker, "it asks less than it announced"));
    }
    let seed = session.own_seed("targets and pads of bins");
    let kernel = move || program(&table, &hash, n_bins, &seed);
    let (hints, targets, pads) = session.compute().run(kernel).await?;
    session.send(asker, hints).await?;

    let me = session.seat();
    let position = shape.holders.iter().position(|(seat, _)| *seat == me);
    let start = position.expect("this seat is a holder") * n_bins;
    let mut lanes = Lanes {
        targets: vec![0; shape.n_lanes()],
        payloads: vec![0; shape.n_lanes()],
    };
    lanes.targets[start..start + n_bins].copy_from_slice(&targets);
    lanes.payloads[start..start + n_bins].copy_from_slice(&pads);
    Ok(lanes)
}

/// The store of a holder's records, with T and S of every bin.
fn program(
    table: &PreparedTable,
    hash: &BinHash,
    n_bins: usize,
    seed: &Seed,
) -> Result<(Hints, Vec<u64>, Vec<u64>), ProtocolError> {
    let (mut targets, mut pads) = (vec![0u64; n_bins], vec![0u64; n_bins]);
    Prg::new(seed, 0).fill_ring(&mut targets);
    Prg::new(seed, 1).fill_ring(&mut pads);
    let entries = table.records.par_iter().flat_map_iter(|record| {
        let bins = hash.bins(&record.item, n_bins);
        bins.map(|bin| {
            let (key, Block(mask)) = hash.entry(&record.y, bin);
            let payload = record.value.wrapping_sub(pads[bin]);
            let value = u128::from(targets[bin]) | u128::from(payload) << 64;
            (key, Block(value ^ mask))
        })
    });
    let (keys, values): (Vec<Block>, Vec<Block>) = entries.unzip();
    // Drawn after the keys were fixed.
    let public = hash::digest("entente/v1/lookup/combined/store", &[seed.as_bytes()]);
    let store = Okvs::new(
        Shape::store_size(table.n_records()),
        &Seed::from_bytes(public),
    );
    let columns = store.encode(&keys, &values, Some(&mut Prg::new(seed, 2)));
    let columns = columns.map_err(|_| ProtocolError::Unlucky {
        what: "storing a table's records",
    })?;
    Ok((Hints::new(&public, columns), targets, pads))
}

/// Shares of what each bin is to show.
async fn circuit(
    session: &mut Session,
    shape: &Shape,
    lanes: Lanes,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    let planes = to_planes(&lanes.targets, shape.target_bits());
    let zeros = |n: usize, of: usize| (0..n).map(|_| BitShare::zero(of)).collect::<Vec<_>>();
    // The asker's T' and the holders' T are one number, XOR-shared: it is 0 where they agree.
    let matches = bits::equal(
        session,
        &planes,
        &zeros(shape.target_bits(), shape.n_lanes()),
        stock,
    )
    .await?;
    let n_bins = shape.n_bins();
    match shape.combine {
        Combine::Sum => {
            let payloads = Share::new(lanes.payloads.clone());
            let found = mux::times(session, &matches, &payloads, stock).await?;
            let mut sums = vec![0u64; n_bins];
            for of_holder in found.as_slice().chunks_exact(n_bins) {
                ring::add_assign(&mut sums, of_holder);
            }
            Ok(Share::new(sums))
        }
        Combine::Any => {
            let mut of_holders = Vec::new();
            let mut rest = matches;
            while rest.n_bits() > n_bins {
                let tail = rest.split_off(n_bins);
                of_holders.push(std::mem::replace(&mut rest, tail));
            }
            of_holders.push(rest);
            let none = zeros(of_holders.len(), n_bins);
            let mut any = bits::equal(session, &of_holders, &none, stock).await?;
            any.not(session.seat().index());
            let one = u64::from(session.seat() == Seat(0));
            mux::times(session, &any, &Share::new(vec![one; n_bins]), stock).await
        }
    }
}

/// What [`look_up`] takes and sends.
pub fn price(seats: Seats, shape: &Shape) -> Price {
    let n_seats = seats.n_seats;
    let chunks = super::question_chunks(shape.n_questions);
    let one = |n_bytes: usize| Stream {
        n_bytes: n_bytes as u64,
        n_messages: 1,
    };
    let questions = Stream::of(chunks, POINT_BYTES);
    let (mut out, mut back) = (Vec::new(), Vec::new());
    for (holder, n_records) in &shape.holders {
        out.push((shape.asker, *holder, one(8)));
        out.push((shape.asker, *holder, questions));
        let hints = Hints::wire_len(Shape::store_size(*n_records).columns());
        back.push((*holder, shape.asker, questions.with_overhead(PROOF_BYTES)));
        back.push((*holder, shape.asker, one(hints)));
    }
    let sent = |cost| Price {
        needs: Needs::default(),
        cost,
    };
    let n_bins = shape.n_bins();
    let compared = bits::equal_price(seats, shape.n_lanes(), shape.target_bits());
    let combined =
        match shape.combine {
            Combine::Sum => mux::price::<u64>(seats, shape.n_lanes()),
            Combine::Any => bits::equal_price(seats, n_bins, shape.holders.len())
                .then(&mux::price::<u64>(seats, n_bins)),
        };
    let revealed = disclose::cost(n_seats, seats.n_computing, n_bins, 0, &[shape.asker]);
    let steps = [
        sent(Cost::round(n_seats, out)),
        sent(Cost::round(n_seats, back)),
        compared,
        combined,
        sent(revealed),
    ];
    Price::sequence(seats, steps)
}

bytes_message! {
    /// A store, and the seed of its layout. The shape is the number of columns of the store.
    Hints, Hints, |n_columns| Hints::SEED_BYTES + n_columns * Block::BYTES
}

impl Hints {
    const SEED_BYTES: usize = 32;

    fn new(seed: &[u8; 32], columns: Vec<Block>) -> Self {
        let mut body = Vec::with_capacity(Self::wire_len(columns.len()));
        body.extend_from_slice(seed);
        for Block(column) in columns {
            body.extend_from_slice(&column.to_le_bytes());
        }
        Self { body: body.into() }
    }

    fn open(&self) -> (Seed, Vec<Block>) {
        let (seed, columns) = self.body.split_at(Self::SEED_BYTES);
        let (columns, _) = columns.as_chunks::<{ Block::BYTES }>();
        let columns = columns.iter().map(|c| Block(u128::from_le_bytes(*c)));
        let seed = seed.try_into().expect("32 bytes were split off");
        (Seed::from_bytes(seed), columns.collect())
    }
}
