//! A programmable oblivious function: the receiver learns it at its own points, and the sender says
//! what it is at some points. Elsewhere it is noise, and nothing tells the two apart.
//!
//! ```text
//! round 1 to 4   both ways           the oblivious function F, for the receiver's points
//!            5   sender → receiver   a store in which every programmed point p finds
//!                                    value_i(p) ⊕ H(F(p), i), in chunks
//! receiver       value_i(q) = decode_i(q) ⊕ H(F(q), i) for each of its points q
//! ```
//!
//! The receiver has F at its points alone, so to it the store is random wherever it does not look.
//! Where it does, it finds the value. Values are therefore random to the receiver, or uniform given
//! what it may learn: whoever calls [`send`] sees to it. The store's free columns are random.
//!
//! Kolesnikov, Matania, Pinkas, Rosulek and Trieu, 2017/799, §4, with the store and the function of
//! Raghuraman and Rindal, 2022/320, §4.

use super::oprf::{self, AtSender, CHUNK_BLOCKS, Sent, one, unfit};
use crate::cost::Stream;
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::session::{Chunks, Session, try_both};
use crate::wire::{Kind, Wire, WireError, bytes_message, ring_bytes};
use bytes::Bytes;
use engine::block::Block;
use engine::hash::{self, CrHash};
use engine::okvs::{Okvs, Size};
use engine::prg::{Prg, Seed};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;
use zeroize::Zeroize;

/// Length of the store's seed.
const SEED_BYTES: usize = 32;

/// Values that one thread masks at a time.
const CHUNK: usize = 1 << 13;

/// The seed of a store's layout, which is drawn after its points are fixed.
struct StoreSeed(Bytes);

impl Wire for StoreSeed {
    const KIND: Kind = Kind::Hints;
    type Shape = ();

    fn wire_len((): ()) -> usize {
        SEED_BYTES
    }

    fn encode(self) -> Bytes {
        self.0
    }

    fn decode((): (), body: Bytes) -> Result<Self, WireError> {
        Ok(Self(body))
    }
}

bytes_message! {
    /// Columns of a store. The shape is the number of blocks.
    Columns, Hints, |n_blocks| n_blocks * Block::BYTES
}

/// How much is programmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Programme {
    /// Number of points.
    pub(super) n_points: usize,
    /// Blocks of value at each.
    pub(super) n_blocks: usize,
}

impl Programme {
    fn size(self) -> Size {
        Size::new(self.n_points)
    }

    fn chunks(self) -> Chunks {
        Chunks {
            n_items: self.size().columns() * self.n_blocks,
            chunk_items: CHUNK_BLOCKS,
        }
    }
}

/// Points, all different, and for each block of value one vector with an element for each point.
pub(super) struct Programmed {
    pub(super) points: Vec<Block>,
    pub(super) values: Vec<Vec<Block>>,
}

impl Drop for Programmed {
    fn drop(&mut self) {
        self.points.zeroize();
        self.values.zeroize();
    }
}

/// Lets the receiver learn at `n_queries` points what is programmed there.
///
/// Errors are those of [`super::vole::send`]; the caller ends the session.
pub(super) async fn send(
    session: &mut Session,
    receiver: Seat,
    n_queries: usize,
    programmed: Programmed,
) -> Result<(), ProtocolError> {
    let function = oprf::send(session, receiver, n_queries).await?;
    let (masks, own) = (mask_hash(session), session.own_seed("programmed store"));
    let kernel = move || {
        // Public, and drawn now that the points are what they are.
        let layout = hash::digest("entente/v1/psi/opprf/layout", &[own.as_bytes()]);
        let store = make_store(&function, &masks, programmed, &layout, &own)?;
        Ok::<_, ProtocolError>((layout, store))
    };
    let (layout, (store, chunks)) = session.compute().run(kernel).await?;
    session
        .send(receiver, StoreSeed(Bytes::copy_from_slice(&layout)))
        .await?;
    let make = |range: Range<usize>| Columns {
        body: store.slice(range.start * Block::BYTES..range.end * Block::BYTES),
    };
    let take = |_, _, _: Columns| Ok(());
    session
        .round_chunks(&[receiver], &[], chunks, make, take)
        .await
}

fn make_store(
    function: &AtSender,
    masks: &CrHash,
    mut programmed: Programmed,
    layout: &[u8; 32],
    own: &Seed,
) -> Result<(Bytes, Chunks), ProtocolError> {
    let programme = Programme {
        n_points: programmed.points.len(),
        n_blocks: programmed.values.len(),
    };
    let okvs = Okvs::new(programme.size(), &Seed::from_bytes(*layout));
    let mut keys = function.values(&programmed.points);
    let Programmed { points, values } = &mut programmed;
    let mut columns: Vec<u128> = Vec::with_capacity(programme.chunks().n_items);
    for (block, values) in (0..).zip(values) {
        mask(masks, &keys, block, values);
        let filler = &mut Prg::new(own, block);
        let stored = okvs.encode(points, values, Some(filler)).map_err(unfit)?;
        columns.extend(stored.iter().map(|column| column.0));
    }
    keys.zeroize();
    Ok((ring_bytes(columns), programme.chunks()))
}

/// Learns what the sender has programmed at this seat's points, which are distinct: for each block
/// of value one vector with an element for each point, noise where nothing is programmed.
///
/// Errors are those of [`super::vole::receive`]; the caller ends the session.
pub(super) async fn receive(
    session: &mut Session,
    sender: Seat,
    points: Arc<Vec<Block>>,
    programme: Programme,
) -> Result<Vec<Vec<Block>>, ProtocolError> {
    let compute = session.compute();
    let function = oprf::receive(session, sender, points.clone()).await?;
    let masks = mask_hash(session);
    let evaluate = async { Ok(compute.run(move || function.values()).await) };
    let (mut keys, (layout, store)) =
        try_both(evaluate, receive_store(session, sender, programme)).await?;
    let kernel = move || {
        let okvs = Okvs::new(programme.size(), &layout);
        let stores = store.chunks_exact(programme.size().columns());
        let values = (0..).zip(stores).map(|(block, store)| {
            let mut values = okvs.decode(store, &points);
            mask(&masks, &keys, block, &mut values);
            values
        });
        let values: Vec<Vec<Block>> = values.collect();
        keys.zeroize();
        values
    };
    Ok(compute.run(kernel).await)
}

async fn receive_store(
    session: &mut Session,
    sender: Seat,
    programme: Programme,
) -> Result<(Seed, Vec<Block>), ProtocolError> {
    let StoreSeed(layout) = session.recv(sender, ()).await?;
    let layout = layout[..]
        .try_into()
        .expect("the session checked the length");
    let chunks = programme.chunks();
    let mut store = vec![Block::ZERO; chunks.n_items];
    let make = |_| Columns { body: Bytes::new() };
    let take = |_, range: Range<usize>, Columns { body }: Columns| {
        let (blocks, _) = body.as_chunks();
        for (column, bytes) in store[range].iter_mut().zip(blocks) {
            *column = Block::from_bytes(*bytes);
        }
        Ok(())
    };
    session
        .round_chunks(&[], &[sender], chunks, make, take)
        .await?;
    Ok((Seed::from_bytes(layout), store))
}

/// The hash that masks values: bound to the session and the place in it, and public.
fn mask_hash(session: &Session) -> CrHash {
    let fields = [&session.session_id()[..], session.path().as_bytes()];
    CrHash::new(&hash::derive_key("entente/v1/psi/opprf/masks", &fields))
}

/// XORs H(key, block) to each value.
fn mask(masks: &CrHash, keys: &[Block], block: u64, values: &mut [Block]) {
    // One key makes few blocks, so that the number of the block is all that a tweak has to say.
    values
        .par_chunks_mut(CHUNK)
        .zip(keys.par_chunks(CHUNK))
        .for_each(|(values, keys)| {
            for (value, key) in values.iter_mut().zip(keys) {
                *value ^= masks.hash(*key, block);
            }
        });
}

/// What is sent in each of the five rounds.
pub(super) fn rounds(
    sender: Seat,
    receiver: Seat,
    n_queries: usize,
    programme: Programme,
) -> [Vec<Sent>; 5] {
    let [first, second, third, fourth] = oprf::rounds(sender, receiver, n_queries);
    let store = vec![
        (sender, receiver, one(SEED_BYTES)),
        (
            sender,
            receiver,
            Stream::of(programme.chunks(), Block::BYTES),
        ),
    ];
    [first, second, third, fourth, store]
}
