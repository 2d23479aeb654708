//! Shuffling shared rows, so that nobody knows which row went where.
//!
//! Each seat in turn permutes the rows by a permutation that it alone knows. What comes out is in an
//! order that is uniformly random to any seats but all of them: whatever is then opened about the
//! rows, such as where each belongs, says nothing about where it came from.
//!
//! One step, in which seat o permutes by π, uses up a permutation correlation: a random table A that
//! the other seats share, and the table ρ(A), shared by all, for a random ρ that only o knows. The
//! others send o their shares of x − A. With a public random τ, which o draws anew, π = ρ∘τ is o's
//! alone even if somebody dealt ρ. Everybody permutes its share of ρ(A) by τ to one of π(A), and o adds
//! π(x − A).

use crate::correlate::{
    Needs, PermutationNeed, PermutationShare, RowShares, SecretPermutation, Stock,
};
use crate::cost::{Cost, Stream};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::session::{Chunks, Session};
use crate::table::{Table, TableShape};
use crate::wire::{Kind, Masked, MaskedBits, Wire, WireError};
use bytes::Bytes;
use engine::prg::{Prg, Seed};
use engine::ring::Ring;
use engine::share::Share;
use engine::share::boolean::BitShare;
use std::sync::Mutex;

/// Bytes of rows in one message.
const CHUNK_BYTES: usize = 1 << 20;

const COIN_BYTES: usize = 32;

/// Bytes of a place in an order.
const OFFSET_BYTES: usize = 4;

/// Public randomness of one seat, which all seats expand to that seat's public permutations.
struct Coin {
    bytes: [u8; COIN_BYTES],
}

impl Wire for Coin {
    const KIND: Kind = Kind::Coin;
    type Shape = ();

    fn wire_len((): ()) -> usize {
        COIN_BYTES
    }

    fn encode(self) -> Bytes {
        Bytes::copy_from_slice(&self.bytes)
    }

    fn decode((): (), body: Bytes) -> Result<Self, WireError> {
        let bytes = body
            .first_chunk()
            .ok_or(WireError::Content { what: "no coin" })?;
        Ok(Self { bytes: *bytes })
    }
}

/// From a random permutation that its sender alone knows to the one that it applies, which the first one hides.
struct Offset {
    sources: Vec<u32>,
}

impl Wire for Offset {
    const KIND: Kind = Kind::Order;
    type Shape = usize;

    fn wire_len(n_rows: usize) -> usize {
        OFFSET_BYTES * n_rows
    }

    fn encode(self) -> Bytes {
        let bytes = self.sources.iter().flat_map(|source| source.to_le_bytes());
        bytes.collect::<Vec<u8>>().into()
    }

    fn decode(n_rows: usize, body: Bytes) -> Result<Self, WireError> {
        let (sources, rest) = body.as_chunks::<OFFSET_BYTES>();
        let sources: Vec<u32> = sources.iter().map(|s| u32::from_le_bytes(*s)).collect();
        let mut is_there = vec![false; n_rows];
        for source in &sources {
            match is_there.get_mut(*source as usize) {
                Some(there) if !*there => *there = true,
                _ => return Err(NO_ORDER),
            }
        }
        match sources.len() == n_rows && rest.is_empty() {
            true => Ok(Self { sources }),
            false => Err(NO_ORDER),
        }
    }
}

const NO_ORDER: WireError = WireError::Content {
    what: "an order has every row once",
};

/// What shuffles need besides correlations: a coin from every seat, exchanged once.
pub struct Shuffler {
    /// Of each seat, in order.
    coins: Vec<Seed>,
    /// Shuffles so far.
    n_shuffles: u64,
}

impl Shuffler {
    /// Draws this seat's coin and exchanges coins with all others.
    ///
    /// # Seats     symmetric, any number ≥ 2
    /// # Inputs    none
    /// # Output    what [`Shuffler::shuffle`] needs, for any number of shuffles
    /// # Cost      1 round; 32 bytes to each other seat
    /// # Security  coins are public
    /// # Errors    [`ProtocolError::Link`], [`ProtocolError::PeerMisbehaved`] (length)
    /// # Source    CRYPTO §1.2, pitfall 3: whoever deals a permutation must not know the one in use
    pub async fn new(session: &mut Session) -> Result<Self, ProtocolError> {
        let mut bytes = [0; COIN_BYTES];
        Prg::new(&session.own_seed("shuffle coin"), 0).fill_bytes(&mut bytes);
        let mut coins = session.exchange(Coin { bytes }, ()).await?;
        coins.push((session.seat(), Coin { bytes }));
        coins.sort_by_key(|(seat, _)| *seat);
        let coins = coins
            .into_iter()
            .map(|(_, coin)| Seed::from_bytes(coin.bytes));
        Ok(Self {
            coins: coins.collect(),
            n_shuffles: 0,
        })
    }

    /// The declared price of [`Shuffler::new`].
    pub fn price(seats: Seats) -> Price {
        let coin = Stream {
            n_bytes: COIN_BYTES as u64,
            n_messages: 1,
        };
        Price {
            needs: Needs::default(),
            cost: Cost::all_to_all(seats.n_seats, seats.n_computing, coin),
        }
    }

    /// Brings the rows of a table into an order that nobody knows.
    ///
    /// # Seats     symmetric, any number ≥ 2
    /// # Inputs    `table`: shares of n rows; takes one permutation of that shape for each seat
    /// # Output    fresh shares of the same rows in a uniformly random order
    /// # Cost      [`price`]: N rounds; in each, all rows from all seats to one
    /// # Security  semi-honest, all but one seat may be corrupt: the order is uniform to them;
    ///   reveals the shape
    /// # Errors    [`ProtocolError::OutOfCorrelations`], [`ProtocolError::Link`],
    ///   [`ProtocolError::PeerMisbehaved`] (length)
    /// # Source    CRYPTO §1.8; one owner's step as in SecretFlow SPU (`PermAM`), with the offset
    ///   made from a coin instead of sent
    pub async fn shuffle(
        &mut self,
        session: &mut Session,
        mut table: Table,
        stock: &mut Stock,
    ) -> Result<Table, ProtocolError> {
        let shuffle = self.n_shuffles;
        self.n_shuffles += 1;
        let owners: Vec<Seat> = session.computing_seats().collect();
        for owner in owners {
            let offset = random_order(&self.coins[owner.index()], shuffle, table.n_rows());
            table = step(session, owner, table, &offset, stock).await?;
        }
        Ok(table)
    }
}

/// The declared price of one [`Shuffler::shuffle`] of a table.
pub fn price(shape: TableShape, seats: Seats) -> Price {
    let steps = Seat::first(seats.n_computing).map(|owner| step_price(shape, seats, owner));
    Price::sequence(seats, steps)
}

/// Which message of [`arrange`] goes first: whoever was the last to be sent something answers, so that nobody waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// What the owner tells of its order.
    Order,
    /// The rows, which the others send the owner.
    Rows,
}

/// Brings the rows of a table into an order that one seat chooses and nobody else learns.
///
/// # Seats     symmetric, any number ≥ 2; `owner` chooses
/// # Inputs    `table`: shares of n rows; `order`: at the owner, where each row comes from; takes one permutation of
///   that shape, of the owner; `first`: public
/// # Output    fresh shares of the rows in that order
/// # Cost      [`arrange_price`]: 2 rounds; all rows from all seats to the owner, and 4·n bytes from the owner to each other seat
/// # Security  semi-honest, all but one seat may be corrupt: what the owner tells is uniform to the others, because the
///   permutation of the stock is. Whoever deals it must not learn what is told, and is sent nothing; reveals the shape
/// # Errors    [`ProtocolError::InvalidInput`] if the order is none, [`ProtocolError::OutOfCorrelations`],
///   [`ProtocolError::Link`], [`ProtocolError::PeerMisbehaved`] (length, no order)
/// # Source    as [`Shuffler::shuffle`], one owner's step, with the offset sent
pub async fn arrange(
    session: &mut Session,
    owner: Seat,
    table: Table,
    (order, first): (Option<SecretPermutation>, First),
    stock: &mut Stock,
) -> Result<Table, ProtocolError> {
    let n_rows = table.n_rows();
    let need = table.shape().permutation(owner);
    let correlation = session.ended_by(stock.take_permutation(need))?;
    let mine = order.zip(correlation.permutation.as_ref());
    let mine = mine.map(|(order, rho)| offset(rho, &order)).transpose();
    let mine = session.ended_by(mine)?;
    let told = mine.clone().map(|sources| Offset { sources });
    let theirs;
    let (shape, differences);
    match first {
        First::Order => {
            theirs = session.broadcast(owner, told, n_rows).await?;
            (shape, differences) = sent(session, owner, table, &correlation).await?;
        }
        First::Rows => {
            (shape, differences) = sent(session, owner, table, &correlation).await?;
            theirs = session.broadcast(owner, told, n_rows).await?;
        }
    }
    let offset = mine.or(theirs.map(|told| told.sources)).unwrap_or_default();
    Ok(received(shape, differences, (&offset, correlation)))
}

/// τ with π = ρ∘τ: row i comes from the place at which ρ has what π wants there.
fn offset(rho: &SecretPermutation, order: &SecretPermutation) -> Result<Vec<u32>, ProtocolError> {
    let mut places = vec![0u32; rho.sources().len()];
    for (place, source) in (0u32..).zip(rho.sources()) {
        places[*source as usize] = place;
    }
    let invalid = ProtocolError::InvalidInput {
        what: "an order has every row once",
    };
    let mut is_there = vec![false; places.len()];
    for source in order.sources() {
        match is_there.get_mut(*source as usize) {
            Some(there) if !*there => *there = true,
            _ => return Err(invalid),
        }
    }
    match order.sources().len() == places.len() {
        true => Ok(order
            .sources()
            .iter()
            .map(|s| places[*s as usize])
            .collect()),
        false => Err(invalid),
    }
}

/// The declared price of [`arrange`].
pub fn arrange_price(shape: TableShape, seats: Seats, owner: Seat) -> Price {
    let others = Seat::first(seats.n_computing).filter(|seat| *seat != owner);
    let told = Stream {
        n_bytes: (OFFSET_BYTES * shape.n_rows) as u64,
        n_messages: 1,
    };
    let told = others.map(|to| (owner, to, told));
    step_price(shape, seats, owner).then(&Price::of_cost(Cost::round(seats.n_seats, told)))
}

fn step_price(shape: TableShape, seats: Seats, owner: Seat) -> Price {
    let need = shape.permutation(owner);
    let others = Seat::first(seats.n_computing).filter(|seat| *seat != owner);
    let streams = |from: Seat| {
        let columns = columns_sent(need);
        columns.into_iter().map(move |stream| (from, owner, stream))
    };
    Price {
        needs: Needs {
            permutations: vec![need],
            ..Needs::default()
        },
        cost: Cost::round(seats.n_seats, others.flat_map(streams)),
    }
}

/// What each seat but the owner sends in a step: one vector for each kind of column there is.
fn columns_sent(need: PermutationNeed) -> Vec<Stream> {
    let kinds = [(need.n_words, 8), (need.n_ring64, 8), (need.n_ring128, 16)];
    let present = kinds.into_iter().filter(|(n_columns, _)| *n_columns > 0);
    present
        .map(|(n_columns, item_bytes)| {
            Stream::of(chunks(n_columns * need.n_rows, item_bytes), item_bytes)
        })
        .collect()
}

fn chunks(n_items: usize, item_bytes: usize) -> Chunks {
    Chunks {
        n_items,
        chunk_items: CHUNK_BYTES / item_bytes,
    }
}

/// A uniformly random order of n rows (Fisher–Yates).
fn random_order(seed: &Seed, stream: u64, n_rows: usize) -> Vec<u32> {
    let n_rows = u32::try_from(n_rows).expect("under 2^32 rows");
    let mut order: Vec<u32> = (0..n_rows).collect();
    let mut prg = Prg::new(seed, stream);
    for last in (1..order.len()).rev() {
        let other = prg.next_bounded(last as u64 + 1) as usize;
        order.swap(last, other);
    }
    order
}

/// One seat permutes the rows by a permutation that it alone knows.
async fn step(
    session: &mut Session,
    owner: Seat,
    table: Table,
    offset: &[u32],
    stock: &mut Stock,
) -> Result<Table, ProtocolError> {
    let need = table.shape().permutation(owner);
    let correlation = session.ended_by(stock.take_permutation(need))?;
    let (shape, differences) = sent(session, owner, table, &correlation).await?;
    Ok(received(shape, differences, (offset, correlation)))
}

/// Sends the owner this seat's shares of x − A; what the owner has then.
async fn sent(
    session: &mut Session,
    owner: Seat,
    table: Table,
    correlation: &PermutationShare,
) -> Result<(TableShape, Option<RowShares>), ProtocolError> {
    let shape = table.shape();
    let mut differences = table.into_rows();
    if let Some(before) = &correlation.before {
        subtract(&mut differences, before);
    }
    let differences = collect(session, owner, shape, differences).await?;
    Ok((shape, differences))
}

/// The rows of a table by a permutation of the stock and a public one.
fn received(
    shape: TableShape,
    differences: Option<RowShares>,
    (offset, correlation): (&[u32], PermutationShare),
) -> Table {
    let mut share = Table::from_rows(shape, correlation.after).reordered(offset);
    if let (Some(differences), Some(rho)) = (differences, correlation.permutation) {
        let sources = composed(&rho, offset);
        let permuted = Table::from_rows(shape, differences).reordered(sources.sources());
        add(share.rows_mut(), permuted.rows());
    }
    share
}

/// ρ∘τ: row i comes from where ρ has it that stands at τ(i).
fn composed(rho: &SecretPermutation, offset: &[u32]) -> SecretPermutation {
    let sources = rho.sources();
    SecretPermutation::new(offset.iter().map(|i| sources[*i as usize]).collect())
}

fn subtract(rows: &mut RowShares, other: &RowShares) {
    combine(rows, other, Share::sub_assign, Share::sub_assign);
}

fn add(rows: &mut RowShares, other: &RowShares) {
    combine(rows, other, Share::add_assign, Share::add_assign);
}

/// Bits are XORed, ring elements combined as told.
fn combine(
    rows: &mut RowShares,
    other: &RowShares,
    narrow: fn(&mut Share<u64>, &Share<u64>),
    wide: fn(&mut Share<u128>, &Share<u128>),
) {
    for (row, other) in rows.words.iter_mut().zip(&other.words) {
        row.xor_assign(other);
    }
    for (column, other) in rows.ring64.iter_mut().zip(&other.ring64) {
        narrow(column, other);
    }
    for (column, other) in rows.ring128.iter_mut().zip(&other.ring128) {
        wide(column, other);
    }
}

/// Sends everybody's rows, which must be masked at all seats but the owner, to the owner, who adds
/// its own.
async fn collect(
    session: &mut Session,
    owner: Seat,
    shape: TableShape,
    rows: RowShares,
) -> Result<Option<RowShares>, ProtocolError> {
    let columns = rows.words.into_iter().map(BitShare::into_words);
    let words = columns.map(Share::new).collect();
    let words = sum_at(session, owner, words, MaskedBits::new, |theirs, sum| {
        theirs.xor_to(sum);
    });
    let words = words.await?;
    let ring64 = sum_at(session, owner, rows.ring64, Masked::new, Masked::add_to).await?;
    let ring128 = sum_at(session, owner, rows.ring128, Masked::new, Masked::add_to).await?;
    let as_bits = |column: Share<u64>| BitShare::from_words(64 * shape.n_rows, column.into_vec());
    Ok((session.seat() == owner).then(|| RowShares {
        words: words.into_iter().map(as_bits).collect(),
        ring64,
        ring128,
    }))
}

/// Sends columns to the owner, end to end, who returns the sums of all seats' columns. Elsewhere
/// the columns themselves are returned.
async fn sum_at<R: Ring, T: Wire<Shape = usize>>(
    session: &mut Session,
    owner: Seat,
    columns: Vec<Share<R>>,
    message: impl Fn(Vec<R>) -> T + Send + Sync,
    add_to: impl Fn(&T, &mut [R]) + Send + Sync,
) -> Result<Vec<Share<R>>, ProtocolError> {
    let Some(n_rows) = columns.first().map(Share::len) else {
        return Ok(columns);
    };
    let n_columns = columns.len();
    let mut sum = Vec::with_capacity(n_columns * n_rows);
    columns
        .iter()
        .for_each(|c| sum.extend_from_slice(c.as_slice()));
    drop(columns);
    let chunks = chunks(sum.len(), R::BYTES);
    let (to, from) = match session.seat() == owner {
        true => (vec![], session.peers()),
        false => (vec![owner], vec![]),
    };
    let sum = Mutex::new(Share::new(sum));
    let so_far = || sum.lock().expect("adding does not panic");
    session
        .round_chunks(
            &to,
            &from,
            chunks,
            |items| message(so_far().as_slice()[items].to_vec()),
            |_, items, theirs: T| {
                add_to(&theirs, &mut so_far().as_mut_slice()[items]);
                Ok(())
            },
        )
        .await?;
    let sum = sum.into_inner().expect("adding does not panic");
    let column = |k: usize| Share::new(sum.as_slice()[k * n_rows..(k + 1) * n_rows].to_vec());
    Ok((0..n_columns).map(column).collect())
}
