//! Secure aggregation: sums of long vectors, one of each holder, that all holders learn, and of which nobody learns more.
//!
//! ```text
//! who takes part      every seat tells every other the digest of the roll: session, round, seats, all that was opened before
//! u_i = x_i ± masks   one generator's stream for each pair of seats, which the lower seat adds and the higher one subtracts
//! scatter             seat j gets the j-th piece of every u_i, and adds them up: the masks cancel
//! gather              seat j tells its piece of the sum to all
//! same for all        every seat tells every other the digest of what it was told
//! ```
//!
//! # Streams
//!
//! A pair's stream is that of a seed which belongs to this run of this contract (the session's keys and its identifier, made
//! of fresh numbers of all parties), this path, this pair, and the how-manieth use of it; so no stream serves twice, be it
//! for another round, another block of a vector, or the same round of a job that is run again.
//!
//! # Holders that drop out
//!
//! Who takes part is fixed for the whole run by the parties' signed acceptances, and said once more before anything is masked:
//! a holder that is gone by then, or believes in another round, ends the round before its first masked number. A holder that
//! drops out later ends the session at all others. What it leaves behind is masked by its streams with everybody else, so no
//! sum of the others comes out. The round is run again in a new session, of the same holders or, by a contract without that
//! holder, of the others: in both cases under fresh streams. Nothing is ever added up over one holder less within a session,
//! because two sums of which one lacks a holder tell that holder's part. This is why there are no recovered masks here, as
//! for the many devices of Bonawitz et al., §4: organisations are few, and they come back.

use crate::arith::rerandomise;
use crate::cost::{Cost, Stream};
use crate::disclose::{Disclosure, Terms};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::price::Seats;
use crate::session::Session;
use crate::wire::{Masked, bytes_message, ring_bytes};
use bytes::Bytes;
use engine::hash;
use engine::ring;
use engine::share::Share;
use std::ops::Range;

/// Most elements of a message: a block has a piece of this length for each seat.
const PIECE_ITEMS: usize = 1 << 17;

const DIGEST_BYTES: usize = 32;

bytes_message! {
    /// The digest of who takes part and of what everybody was told. The shape is not used.
    Roll, Roll, |_n| DIGEST_BYTES
}

bytes_message! {
    /// A piece of the sums. The shape is the number of elements.
    Sums, Sums, |n_items| n_items * 8
}

/// Adds vectors of all computing seats up, mod 2^64, and tells the sums to all of them.
///
/// # Seats     symmetric, any number ≥ 2; of two, each learns the other's vector from the sum
/// # Inputs    `mine`: n elements; `disclosure`: of n values of this ring to all computing seats
/// # Output    the n sums
/// # Cost      [`cost`]: each element goes to the seat that adds it up, and its sum to all, so that a seat sends less than
///   16·n bytes however many seats there are; 2 rounds, and 2 more for every 2^17 elements a seat
/// # Security  semi-honest, all but one seat may be corrupt: what an honest seat sends is uniform to them, given the sum of
///   the honest vectors. Reveals the sums to all computing seats. Rests on the generator. A seat that deviates can change
///   the sums (its own vector is its own choice in any case, but here it knows the others' sum of its own piece before it
///   tells it), and is not told more by that; seats that were told different sums find out before they use them
/// # Errors    [`ProtocolError::NotApproved`] before anything is sent; [`ProtocolError::CheckFailed`] if the seats do not
///   agree on who takes part, before anything is masked, or on the sums; [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`] (length)
/// # Source    Bonawitz et al., CCS 2017, §4.0.1 (pairwise masks), without its recovery of lost parties; each seat adding
///   up a part: reduce-scatter and all-gather, Thakur–Rabenseifner–Gropp, 2005, §4.5
pub async fn sum(
    session: &mut Session,
    mine: Vec<u64>,
    disclosure: Disclosure,
) -> Result<Vec<u64>, ProtocolError> {
    let everybody: Vec<Seat> = session.computing_seats().collect();
    let terms = Terms::of_values(mine.len(), 0, &everybody);
    session.ended_by(disclosure.check(&terms, session))?;
    let round = session.next_public("secure aggregation");
    agree(session, round, mine.len()).await?;
    let mine = Share::new(mine);
    let mut sums = vec![0u64; mine.len()];
    for block in blocks(mine.len(), everybody.len()) {
        let own = Share::new(mine.as_slice()[block.clone()].to_vec());
        add_up(session, own, &mut sums[block]).await?;
    }
    session.note_opened(ring::as_bytes(&sums));
    agree(session, round, sums.len()).await?;
    Ok(sums)
}

/// Tells every other seat who takes part in which round, and the digest of all that this seat was told. They all have to say
/// the same.
async fn agree(session: &mut Session, round: u64, n_items: usize) -> Result<(), ProtocolError> {
    let seats: Vec<u8> = session.computing_seats().map(|seat| seat.0).collect();
    let fields = [
        &session.session_id()[..],
        session.path().as_bytes(),
        &round.to_le_bytes(),
        &(n_items as u64).to_le_bytes(),
        &seats,
        session.view(),
    ];
    let digest = hash::digest("entente/v1/sums/roll", &fields);
    let body = Bytes::copy_from_slice(&digest);
    let others = session.exchange(Roll { body }, 0).await?;
    let outcome = match others.iter().all(|(_, theirs)| theirs.body[..] == digest) {
        true => Ok(()),
        false => Err(ProtocolError::CheckFailed {
            what: "the seats disagree on who takes part in this round, or were told different sums",
        }),
    };
    session.ended_by(outcome)
}

/// The sums of one block.
async fn add_up(
    session: &mut Session,
    own: Share<u64>,
    sums: &mut [u64],
) -> Result<(), ProtocolError> {
    let (me, peers, n_seats) = (session.seat(), session.peers(), session.n_computing());
    let piece = |seat: Seat| piece(sums.len(), n_seats, seat);
    let own = rerandomise(session, own).await;
    let scattered = peers.iter().map(|peer| {
        let masked = own.as_slice()[piece(*peer)].to_vec();
        (*peer, Masked::new(masked))
    });
    let scattered: Vec<(Seat, Masked<u64>)> = scattered.collect();
    let expected: Vec<(Seat, usize)> = peers.iter().map(|p| (*p, piece(me).len())).collect();
    let received = session.swap(scattered, &expected).await?;
    let mut sum = own.as_slice()[piece(me)].to_vec();
    received
        .iter()
        .for_each(|(_, theirs)| theirs.add_to(&mut sum));
    let lens = peers.iter().map(|peer| (*peer, piece(*peer).len()));
    let lens: Vec<(Seat, usize)> = lens.collect();
    let body = ring_bytes(sum);
    let told = peers
        .iter()
        .map(|peer| (*peer, Sums { body: body.clone() }));
    let gathered = session.swap(told.collect(), &lens).await?;
    let pieces: Vec<(Range<usize>, Bytes)> = gathered
        .into_iter()
        .map(|(seat, theirs)| (piece(seat), theirs.body))
        .chain([(piece(me), body)])
        .collect();
    for (place, body) in pieces {
        ring::add_bytes(&mut sums[place], &body);
    }
    Ok(())
}

/// The declared cost of [`sum`] for n elements.
pub fn cost(seats: Seats, n_items: usize) -> Cost {
    let Seats {
        n_seats,
        n_computing,
    } = seats;
    let roll = Stream {
        n_bytes: DIGEST_BYTES as u64,
        n_messages: 1,
    };
    let roll = Cost::all_to_all(n_seats, n_computing, roll);
    let of_piece = |block: usize, seat: Seat| Stream {
        n_bytes: 8 * piece(block, n_computing, seat).len() as u64,
        n_messages: 1,
    };
    let mut cost = roll.clone();
    for block in blocks(n_items, n_computing) {
        let pairs = || {
            let all = Seat::first(n_computing);
            all.flat_map(|from| Seat::first(n_computing).map(move |to| (from, to)))
                .filter(|(from, to)| from != to)
        };
        let scatter = pairs().map(|(from, to)| (from, to, of_piece(block.len(), to)));
        cost = cost.then(&Cost::round(n_seats, scatter));
        let gather = pairs().map(|(from, to)| (from, to, of_piece(block.len(), from)));
        cost = cost.then(&Cost::round(n_seats, gather));
    }
    cost.then(&roll)
}

/// The parts of a vector that are added up one after the other.
fn blocks(n_items: usize, n_seats: usize) -> impl Iterator<Item = Range<usize>> {
    let most = PIECE_ITEMS * n_seats;
    (0..n_items.div_ceil(most)).map(move |k| k * most..((k + 1) * most).min(n_items))
}

/// The elements of a block that a seat adds up.
fn piece(n_items: usize, n_seats: usize, seat: Seat) -> Range<usize> {
    let end = |k: usize| k * n_items / n_seats;
    end(seat.index())..end(seat.index() + 1)
}
