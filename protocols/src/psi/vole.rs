//! Intersection of two sets of about the same size, from symmetric operations (RR22).
//!
//! Raghuraman and Rindal, "Blazing Fast PSI from Improved OKVS and Subfield VOLE", 2022/320, figure
//! 4, semi-honest. The receiver gets a pseudo-random function at its items, the sender gets the whole
//! function and sends its values at its own items, shortened to tags and in ascending order, so that
//! nothing tells which item a tag belongs to, or where that item stood.
//!
//! ```text
//! round 1 to 4   both ways           the function, for the receiver's items
//!            5   sender → receiver   tags, in chunks
//! ```

use super::oprf::{self, AtSender, blocks, unfit};
use super::{Item, tag_bytes};
use crate::cost::{Cost, Stream};
use crate::error::{Misdeed, ProtocolError};
use crate::party::Seat;
use crate::session::{Chunks, Session, try_both};
use crate::wire::bytes_message;
use bytes::Bytes;
use engine::block::Block;
use engine::okvs::OkvsError;
use engine::tags::{self, TagList};
use std::ops::Range;
use std::sync::Arc;

/// Tags in one message: about a mebibyte.
const CHUNK_TAGS: usize = 1 << 16;

/// Most items of one side.
const MAX_ITEMS: usize = 1 << 30;

bytes_message! {
    /// Tags of some of the sender's items. The shape is the number of bytes.
    Tags, Tags, |n_bytes| n_bytes
}

/// How many items there are.
#[derive(Clone, Copy)]
struct Setting {
    n_receiver: usize,
    n_sender: usize,
}

impl Setting {
    fn tag_bytes(&self) -> usize {
        tag_bytes(self.n_receiver, self.n_sender)
    }

    fn tag_chunks(&self) -> Chunks {
        tag_chunks(self.n_sender, self.tag_bytes())
    }

    /// Nothing is in common with nothing.
    fn is_empty(&self) -> bool {
        self.n_receiver == 0 || self.n_sender == 0
    }
}

/// Tags counted in bytes, but cut between tags.
pub(super) fn tag_chunks(n_tags: usize, tag_bytes: usize) -> Chunks {
    Chunks {
        n_items: n_tags * tag_bytes,
        chunk_items: CHUNK_TAGS * tag_bytes,
    }
}

/// Learns which of this seat's items the sender has too.
///
/// # Seats     `sender` runs [`send`] with this seat; others take no part
/// # Inputs    `items`: distinct; `n_theirs`: as the sender has announced
/// # Output    places in `items` of those that the sender has, ascending
/// # Cost      5 rounds; [`cost`]: about 21 bytes for each item of the receiver and
///   (40 + log2 n + log2 m)/8 for each of the sender, and 0.3 MB
/// # Security  semi-honest; computational: ristretto255, AES-128, BLAKE3, LPN with regular noise.
///   The receiver learns the intersection, both learn the other's number of items
/// # Errors    [`ProtocolError::Link`]; [`ProtocolError::PeerMisbehaved`] (length, no group element,
///   tags repeated or out of order); [`ProtocolError::InvalidInput`] if items repeat;
///   [`ProtocolError::Unlucky`] with probability 2^−40
/// # Source    2022/320, figure 4; VOLE: 2023/882 and [`engine::vole`]. Differs: clusters fail with
///   2^−40 together instead of each; tags are sorted
pub async fn receive(
    session: &mut Session,
    sender: Seat,
    items: &[Item],
    n_theirs: usize,
) -> Result<Vec<u32>, ProtocolError> {
    let setting = Setting {
        n_receiver: items.len(),
        n_sender: n_theirs,
    };
    let outcome = receive_in(session, sender, setting, items).await;
    session.ended_by(outcome)
}

async fn receive_in(
    session: &mut Session,
    sender: Seat,
    setting: Setting,
    items: &[Item],
) -> Result<Vec<u32>, ProtocolError> {
    check_sizes(&setting)?;
    if setting.is_empty() {
        return Ok(Vec::new());
    }
    let compute = session.compute();
    let at_receiver = oprf::receive(session, sender, Arc::new(blocks(items))).await?;
    let evaluate = async { Ok(compute.run(move || at_receiver.values()).await) };
    let (values, list) = try_both(
        evaluate,
        receive_tags(session, sender, setting.tag_bytes(), setting.n_sender),
    )
    .await?;
    Ok(compute.run(move || list.matches(&values)).await)
}

/// Receives tags in ascending order.
pub(super) async fn receive_tags(
    session: &mut Session,
    sender: Seat,
    tag_bytes: usize,
    n_tags: usize,
) -> Result<TagList, ProtocolError> {
    let mut list = TagList::new(tag_bytes, n_tags);
    let out_of_order = |_| ProtocolError::PeerMisbehaved {
        seat: sender,
        what: Misdeed::Rule("its tags are repeated or out of order"),
    };
    let make = |_| Tags { body: Bytes::new() };
    let take = |_, _, Tags { body }: Tags| list.extend(&body).map_err(out_of_order);
    session
        .round_chunks(&[], &[sender], tag_chunks(n_tags, tag_bytes), make, take)
        .await?;
    Ok(list)
}

/// Sends tags in ascending order.
pub(super) async fn send_tags(
    session: &mut Session,
    receivers: &[Seat],
    tag_bytes: usize,
    tags: Vec<u128>,
) -> Result<(), ProtocolError> {
    let make = |range: Range<usize>| {
        let range = range.start / tag_bytes..range.end / tag_bytes;
        Tags {
            body: tags::to_bytes(&tags[range], tag_bytes).into(),
        }
    };
    let take = |_, _, _: Tags| Ok(());
    session
        .round_chunks(
            receivers,
            &[],
            tag_chunks(tags.len(), tag_bytes),
            make,
            take,
        )
        .await
}

/// Lets the receiver learn which of its items this seat has too, and nothing of the others.
///
/// # Seats     `receiver` runs [`receive`] with this seat; others take no part
/// # Inputs    `items`: distinct; `n_theirs`: as the receiver has announced
/// # Output    none
/// # Cost      5 rounds; [`cost`]
/// # Security  as for [`receive`]; this seat learns the number of the receiver's items
/// # Errors    [`ProtocolError::Link`]; [`ProtocolError::PeerMisbehaved`] (length, no group
///   element); [`ProtocolError::InvalidInput`] if items repeat; [`ProtocolError::Unlucky`] with
///   probability 2^−40
/// # Source    2022/320, figure 4
pub async fn send(
    session: &mut Session,
    receiver: Seat,
    items: &[Item],
    n_theirs: usize,
) -> Result<(), ProtocolError> {
    let setting = Setting {
        n_receiver: n_theirs,
        n_sender: items.len(),
    };
    let outcome = send_in(session, receiver, setting, items).await;
    session.ended_by(outcome)
}

async fn send_in(
    session: &mut Session,
    receiver: Seat,
    setting: Setting,
    items: &[Item],
) -> Result<(), ProtocolError> {
    check_sizes(&setting)?;
    if setting.is_empty() {
        return Ok(());
    }
    let function = oprf::send(session, receiver, setting.n_receiver).await?;
    let (items, n_bytes) = (blocks(items), setting.tag_bytes());
    let make_tags = move || make_tags(&function, &items, n_bytes);
    let tags = session.compute().run(make_tags).await?;
    send_tags(session, &[receiver], n_bytes, tags).await
}

/// The tags of the sender's items in ascending order.
fn make_tags(
    function: &AtSender,
    items: &[Block],
    tag_bytes: usize,
) -> Result<Vec<u128>, ProtocolError> {
    let tags = tags::ascending(&function.values(items), tag_bytes);
    if tags.windows(2).all(|pair| pair[0] != pair[1]) {
        return Ok(tags);
    }
    let mut items: Vec<u128> = items.iter().map(|item| item.0).collect();
    items.sort_unstable();
    Err(match items.windows(2).any(|pair| pair[0] == pair[1]) {
        true => unfit(OkvsError::Duplicate),
        false => ProtocolError::Unlucky {
            what: "telling items apart by their tags",
        },
    })
}

/// The declared cost of one [`send`] and [`receive`].
pub fn cost(
    n_seats: usize,
    (sender, n_sender): (Seat, usize),
    (receiver, n_receiver): (Seat, usize),
) -> Cost {
    let setting = Setting {
        n_receiver,
        n_sender,
    };
    if setting.is_empty() {
        return Cost::none(n_seats);
    }
    let tags = Stream::of(setting.tag_chunks(), 1);
    let rounds = oprf::rounds(sender, receiver, n_receiver).into_iter();
    let rounds = rounds.chain([vec![(sender, receiver, tags)]]);
    rounds.fold(Cost::none(n_seats), |cost, sent| {
        cost.then(&Cost::round(n_seats, sent))
    })
}

fn check_sizes(setting: &Setting) -> Result<(), ProtocolError> {
    if setting.n_receiver.max(setting.n_sender) > MAX_ITEMS {
        return Err(ProtocolError::InvalidInput {
            what: "an intersection is limited to 2^30 items a side; divide the sets",
        });
    }
    Ok(())
}
