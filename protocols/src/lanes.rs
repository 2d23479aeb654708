//! Opening what the stock has masked: the one step in which protocols on shares communicate.
//!
//! A batch has lanes, one an item, and columns, 64 lanes each. A step opens some ring elements a lane
//! and some words of bits a column. It goes through the batch in chunks: while one chunk is on the
//! wire the next is masked, and what has arrived is used at once, while it is in the cache. Both cost
//! less than sending does, so they run on the calling task.
//!
//! No share is re-randomised here. Every element is under a mask from the stock whose shares are
//! uniform at every seat, whatever the shares under them are. So is every bit of a lane. Bits of a last
//! word past the last lane are under masks too, or zero at every seat, as in every [`BitShare`].
//!
//! [`BitShare`]: engine::share::boolean::BitShare

use crate::cost::{Cost, Stream};
use crate::error::ProtocolError;
use crate::price::Seats;
use crate::session::{Chunks, Session};
use crate::wire::{LanesShape, MaskedLanes};
use engine::bits;
use engine::hash;
use engine::ring::{self, Ring};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Mutex;

/// Bytes in one message, if the batch is that long.
const CHUNK_BYTES: usize = 1 << 18;

/// What a step opens of a batch.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    /// Items of the batch.
    pub(crate) n_lanes: usize,
    /// Ring elements that are opened of each lane.
    pub(crate) elements: usize,
    /// Words that are opened of each column.
    pub(crate) words: usize,
}

impl Layout {
    fn chunks<R: Ring>(self) -> Chunks {
        let column_bytes = 64 * self.elements * R::BYTES + 8 * self.words;
        let n_columns = (CHUNK_BYTES / column_bytes.max(1)).max(1);
        Chunks {
            n_items: self.n_lanes,
            chunk_items: 64 * n_columns,
        }
    }

    fn shape(self, lanes: &Range<usize>) -> LanesShape {
        LanesShape {
            n_elements: lanes.len() * self.elements,
            n_words: bits::words_for(lanes.len()) * self.words,
        }
    }

    /// The declared cost of the step: one round, all to all.
    pub(crate) fn cost<R: Ring>(self, seats: Seats) -> Cost {
        let chunks = self.chunks::<R>();
        let n_bytes = self.n_lanes * self.elements * R::BYTES
            + bits::words_for(self.n_lanes) * self.words * 8;
        let stream = Stream {
            n_bytes: n_bytes as u64,
            n_messages: chunks.count() as u64,
        };
        Cost::all_to_all(seats.n_seats, seats.n_computing, stream)
    }
}

/// The columns of a range of lanes that begins with a column.
pub(crate) fn columns(lanes: &Range<usize>) -> Range<usize> {
    lanes.start / 64..bits::words_for(lanes.end)
}

/// Opens a batch in one round. `mask` writes this seat's masked part of some lanes into vectors of
/// zeros, elements and words, and returns what it keeps for them; `take` gets that, and the sums over all
/// seats of the same lanes.
///
/// The elements of a chunk stand in the order of `mask`'s choice, and so do its words.
pub(crate) async fn open<R: Ring, K: Send>(
    session: &mut Session,
    layout: Layout,
    mut mask: impl FnMut(Range<usize>, &mut [R], &mut [u64]) -> K + Send,
    mut take: impl FnMut(Range<usize>, K, &[R], &[u64]) + Send,
) -> Result<(), ProtocolError> {
    let peers = session.peers();
    let n_peers = peers.len();
    let own: Mutex<VecDeque<(MaskedLanes<R>, K)>> = Mutex::default();
    let own_parts = || own.lock().expect("keeping a message does not panic");
    let (mut elements, mut words, mut digests) = (Vec::new(), Vec::new(), Vec::new());
    let (mut n_added, mut kept) = (0, None);
    session
        .exchange_shaped(
            layout.chunks::<R>(),
            |lanes| layout.shape(lanes),
            |lanes| {
                let shape = layout.shape(&lanes);
                let mut elements = vec![R::ZERO; shape.n_elements];
                let mut words = vec![0; shape.n_words];
                let keeps = mask(lanes, &mut elements, &mut words);
                let part = MaskedLanes::new(elements, words);
                own_parts().push_back((part.clone(), keeps));
                part
            },
            |_, lanes, theirs| {
                if n_added == 0 {
                    let shape = layout.shape(&lanes);
                    elements.clear();
                    elements.resize(shape.n_elements, R::ZERO);
                    words.clear();
                    words.resize(shape.n_words, 0);
                    let own = own_parts().pop_front();
                    let (own, keeps) = own.expect("a chunk is made before it is taken");
                    own.add_to(&mut elements, &mut words);
                    kept = Some(keeps);
                }
                theirs.add_to(&mut elements, &mut words);
                n_added = (n_added + 1) % n_peers;
                if n_added == 0 {
                    digests.extend(digest(&elements, &words));
                    let keeps = kept.take().expect("it was kept with the own part");
                    take(lanes, keeps, &elements, &words);
                }
                Ok(())
            },
        )
        .await?;
    session.note_opened(&digests);
    Ok(())
}

fn digest<R: Ring>(elements: &[R], words: &[u64]) -> [u8; 32] {
    let fields = [ring::as_bytes(elements), ring::as_bytes(words)];
    hash::digest("entente/v1/lanes/opened", &fields)
}
