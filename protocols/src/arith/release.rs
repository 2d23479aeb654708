//! Commit, then open: how shares are opened to their receivers.

use super::rerandomise;
use crate::cost::{Cost, Stream};
use crate::disclose::{Revealed, Values};
use crate::error::{Misdeed, ProtocolError};
use crate::party::Seat;
use crate::session::{Chunks, Session};
use crate::wire::{Kind, Wire, WireError};
use bytes::Bytes;
use engine::hash;
use engine::prg::{Prg, Seed};
use engine::ring;
use engine::share::Share;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Mutex;

/// Payload bytes of one opening. A multiple of 16, so that no element is cut in two.
const CHUNK_BYTES: usize = 1 << 20;

const DIGEST_BYTES: usize = 32;
const NONCE_BYTES: usize = 32;
const OPENING_OVERHEAD: usize = DIGEST_BYTES + NONCE_BYTES;

/// What every seat sends before anybody opens.
struct Commitments {
    /// Digest of everything that was opened to all seats before.
    view: [u8; DIGEST_BYTES],
    /// One commitment for each chunk.
    chunks: Vec<[u8; DIGEST_BYTES]>,
}

impl Wire for Commitments {
    const KIND: Kind = Kind::Commitments;
    /// Number of chunks.
    type Shape = usize;

    fn wire_len(n_chunks: usize) -> usize {
        DIGEST_BYTES * (1 + n_chunks)
    }

    fn encode(self) -> Bytes {
        let mut body = self.view.to_vec();
        body.extend(self.chunks.into_iter().flatten());
        Bytes::from(body)
    }

    fn decode(_: usize, body: Bytes) -> Result<Self, WireError> {
        let short = WireError::Content { what: "no digest" };
        let (view, rest) = body.split_first_chunk().ok_or(short)?;
        let (chunks, _) = rest.as_chunks();
        Ok(Self {
            view: *view,
            chunks: chunks.to_vec(),
        })
    }
}

/// One chunk of a seat's re-randomised share, with the nonce of its commitment.
struct Opening {
    /// Digest of all seats' commitments as the sender received them.
    seen: [u8; DIGEST_BYTES],
    nonce: [u8; NONCE_BYTES],
    payload: Bytes,
}

impl Wire for Opening {
    const KIND: Kind = Kind::Opening;
    /// Length of the payload in bytes.
    type Shape = usize;

    fn wire_len(len_bytes: usize) -> usize {
        OPENING_OVERHEAD + len_bytes
    }

    fn encode(self) -> Bytes {
        let mut body = Vec::with_capacity(OPENING_OVERHEAD + self.payload.len());
        body.extend(self.seen);
        body.extend(self.nonce);
        body.extend_from_slice(&self.payload);
        Bytes::from(body)
    }

    fn decode(_: usize, body: Bytes) -> Result<Self, WireError> {
        let short = |what| WireError::Content { what };
        let (seen, rest) = body.split_first_chunk().ok_or_else(|| short("no digest"))?;
        let (nonce, _) = rest.split_first_chunk().ok_or_else(|| short("no nonce"))?;
        Ok(Self {
            seen: *seen,
            nonce: *nonce,
            payload: body.slice(OPENING_OVERHEAD..),
        })
    }
}

/// The protocol behind [`reveal`](crate::disclose::reveal), whose contract it has.
pub(crate) async fn commit_then_open(
    session: &mut Session,
    values: Values,
    receivers: &[Seat],
) -> Result<Option<Revealed>, ProtocolError> {
    let mine = Sums {
        wide: rerandomise(session, values.wide).await,
        narrow: rerandomise(session, values.narrow).await,
    };
    let chunks = chunks(mine.len_bytes());
    let place = Place::next(session);
    let nonces = nonces(&session.own_seed("commitment nonce"), chunks.count());

    let kernel = place.commit(mine, chunks, nonces.clone());
    let (mine, own) = session.compute().run(kernel).await;
    let view = *session.view();
    let message = Commitments {
        view,
        chunks: own.clone(),
    };
    let commitments = session.exchange(message, chunks.count()).await?;
    if commitments.iter().any(|(_, theirs)| theirs.view != view) {
        return Err(ProtocolError::CheckFailed {
            what: "the seats were told different openings",
        });
    }

    let seen = place.seen(&own, &commitments);
    let me = session.seat();
    let is_receiver = receivers.contains(&me);
    let to: Vec<Seat> = receivers.iter().copied().filter(|r| *r != me).collect();
    let from = if is_receiver { session.peers() } else { vec![] };
    // Each chunk of our shares is copied out before the others' are added in its place.
    let sums = Mutex::new(mine);
    let sums_so_far = || sums.lock().expect("adding does not panic");
    session
        .round_chunks(
            &to,
            &from,
            chunks,
            |bytes| Opening {
                seen,
                nonce: nonces[bytes.start / CHUNK_BYTES],
                payload: Bytes::copy_from_slice(&sums_so_far().payload(bytes)),
            },
            |seat, bytes, opening: Opening| {
                if opening.seen != seen {
                    return Err(ProtocolError::CheckFailed {
                        what: "the seats were sent different commitments",
                    });
                }
                let chunk = bytes.start / CHUNK_BYTES;
                let (_, theirs) = commitments
                    .iter()
                    .find(|(from, _)| *from == seat)
                    .expect("every peer has committed");
                place.check(seat, chunk, &theirs.chunks[chunk], &opening)?;
                sums_so_far().add(bytes, &opening.payload);
                Ok(())
            },
        )
        .await?;
    let sums = sums.into_inner().expect("adding does not panic");
    Ok(is_receiver.then(|| sums.into_revealed()))
}

/// The declared cost of [`commit_then_open`].
pub(crate) fn cost(
    n_seats: usize,
    n_computing: usize,
    n_narrow: usize,
    n_wide: usize,
    receivers: &[Seat],
) -> Cost {
    let chunks = chunks(n_narrow * 8 + n_wide * 16);
    let n_bytes = Commitments::wire_len(chunks.count()) as u64;
    let commit = Cost::all_to_all(
        n_seats,
        n_computing,
        Stream {
            n_bytes,
            n_messages: 1,
        },
    );
    let opening = Stream::of(chunks, 1).with_overhead(OPENING_OVERHEAD);
    let pairs = Seat::first(n_computing)
        .flat_map(|from| receivers.iter().map(move |to| (from, *to)))
        .filter(|(from, to)| from != to);
    commit.then(&Cost::round(
        n_seats,
        pairs.map(|(from, to)| (from, to, opening)),
    ))
}

fn chunks(len_bytes: usize) -> Chunks {
    Chunks {
        n_items: len_bytes,
        chunk_items: CHUNK_BYTES,
    }
}

fn nonces(seed: &Seed, n_chunks: usize) -> Vec<[u8; NONCE_BYTES]> {
    let mut nonces = vec![[0; NONCE_BYTES]; n_chunks];
    let mut prg = Prg::new(seed, 0);
    for nonce in &mut nonces {
        prg.fill_bytes(nonce);
    }
    nonces
}

/// Where a commitment belongs. Its hash covers session, path, which reveal on this path, seat and
/// chunk, so that no commitment or opening is good for another place or another seat.
struct Place {
    id: [u8; DIGEST_BYTES],
    seat: Seat,
}

impl Place {
    fn next(session: &mut Session) -> Self {
        let occurrence = session.next_public("reveal").to_le_bytes();
        let fields = [
            &session.session_id()[..],
            session.path().as_bytes(),
            &occurrence,
        ];
        let id = hash::digest("entente/v1/reveal/place", &fields);
        Self {
            id,
            seat: session.seat(),
        }
    }

    fn chunk_id(&self, seat: Seat, chunk: usize) -> [u8; DIGEST_BYTES] {
        let fields = [&self.id[..], &[seat.0], &(chunk as u64).to_le_bytes()];
        hash::digest("entente/v1/reveal/chunk", &fields)
    }

    /// Digest of all commitments, in the order of seats. A seat that commits to different values
    /// towards different receivers makes theirs differ, and every honest seat's opening says so.
    fn seen(
        &self,
        own: &[[u8; DIGEST_BYTES]],
        others: &[(Seat, Commitments)],
    ) -> [u8; DIGEST_BYTES] {
        let others = others.iter().map(|(seat, c)| (*seat, c.chunks.as_slice()));
        let mut all: Vec<_> = others.chain([(self.seat, own)]).collect();
        all.sort_by_key(|(seat, _)| *seat);
        let mut fields: Vec<&[u8]> = vec![&self.id];
        fields.extend(all.iter().map(|(_, chunks)| chunks.as_flattened()));
        hash::digest("entente/v1/reveal/seen", &fields)
    }

    /// A kernel that commits to every chunk, and hands the shares back.
    fn commit(
        &self,
        mine: Sums,
        chunks: Chunks,
        nonces: Vec<[u8; NONCE_BYTES]>,
    ) -> impl FnOnce() -> (Sums, Vec<[u8; DIGEST_BYTES]>) + Send + use<> {
        let ids: Vec<_> = (0..chunks.count())
            .map(|k| self.chunk_id(self.seat, k))
            .collect();
        move || {
            let payload = |k: usize| mine.payload(chunks.range(k));
            let commit = |k: usize| hash::commit(COMMIT, &ids[k], &payload(k), &nonces[k]);
            let commitments = (0..chunks.count()).map(commit).collect();
            (mine, commitments)
        }
    }

    fn check(
        &self,
        seat: Seat,
        chunk: usize,
        commitment: &[u8; DIGEST_BYTES],
        opening: &Opening,
    ) -> Result<(), ProtocolError> {
        let id = self.chunk_id(seat, chunk);
        if hash::opens(commitment, COMMIT, &id, &opening.payload, &opening.nonce) {
            return Ok(());
        }
        Err(ProtocolError::PeerMisbehaved {
            seat,
            what: Misdeed::Commitment,
        })
    }
}

const COMMIT: &str = "entente/v1/reveal/commit";

/// This seat's shares, to which those of the others are added as they are opened. On the wire the
/// wide ones come first, so that chunks of a multiple of 16 bytes never cut an element.
struct Sums {
    wide: Share<u128>,
    narrow: Share<u64>,
}

impl Sums {
    fn len_bytes(&self) -> usize {
        self.wide.len() * 16 + self.narrow.len() * 8
    }

    /// The elements at this range of bytes. Copied only where the two rings meet.
    fn payload(&self, bytes: Range<usize>) -> Cow<'_, [u8]> {
        let wide = ring::as_bytes(self.wide.as_slice());
        let narrow = ring::as_bytes(self.narrow.as_slice());
        let border = wide.len();
        if bytes.end <= border {
            Cow::Borrowed(&wide[bytes])
        } else if bytes.start >= border {
            Cow::Borrowed(&narrow[bytes.start - border..bytes.end - border])
        } else {
            Cow::Owned([&wide[bytes.start..], &narrow[..bytes.end - border]].concat())
        }
    }

    /// Adds the elements at this range of payload bytes.
    fn add(&mut self, bytes: Range<usize>, payload: &[u8]) {
        let n_wide_bytes = self.wide.len() * 16;
        let border = n_wide_bytes.clamp(bytes.start, bytes.end);
        let (wide, narrow) = payload.split_at(border - bytes.start);
        if !wide.is_empty() {
            ring::add_bytes(
                &mut self.wide.as_mut_slice()[bytes.start / 16..border / 16],
                wide,
            );
        }
        if !narrow.is_empty() {
            let items = (border - n_wide_bytes) / 8..(bytes.end - n_wide_bytes) / 8;
            ring::add_bytes(&mut self.narrow.as_mut_slice()[items], narrow);
        }
    }

    fn into_revealed(self) -> Revealed {
        Revealed {
            narrow: self.narrow.into_vec(),
            wide: self.wide.into_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random_bytes(prg: &mut Prg, len: usize) -> Bytes {
        let mut bytes = vec![0; len];
        prg.fill_bytes(&mut bytes);
        Bytes::from(bytes)
    }

    /// The session has checked the length before it decodes; every content is a message, and the
    /// message that was sent.
    #[test]
    fn messages_survive_their_encoding_whatever_they_hold() {
        let mut prg = Prg::new(&Seed::from_bytes([1; 32]), 0);
        for shape in 0..40 {
            let body = random_bytes(&mut prg, Commitments::wire_len(shape));
            let decoded = Commitments::decode(shape, body.clone()).expect("any content");
            assert_eq!(decoded.chunks.len(), shape);
            assert_eq!(decoded.encode(), body);
            let body = random_bytes(&mut prg, Opening::wire_len(shape));
            let decoded = Opening::decode(shape, body.clone()).expect("any content");
            assert_eq!(decoded.payload.len(), shape);
            assert_eq!(decoded.encode(), body);
        }
    }

    #[test]
    fn bodies_too_short_to_be_a_message_are_refused() {
        for len in 0..DIGEST_BYTES {
            let body = Bytes::from(vec![0; len]);
            assert!(Commitments::decode(0, body.clone()).is_err());
            assert!(Opening::decode(0, body).is_err());
        }
    }

    /// Adding a payload in chunks of any multiple of 16 bytes adds every element once.
    #[test]
    fn chunks_never_cut_an_element() {
        let mut prg = Prg::new(&Seed::from_bytes([2; 32]), 0);
        for (n_wide, n_narrow) in [(0, 0), (0, 7), (5, 0), (5, 7), (1, 1), (16, 33)] {
            let mut draw = |len: usize| {
                let mut values = vec![0u64; len];
                prg.fill_ring(&mut values);
                values
            };
            let narrow = draw(n_narrow);
            let wide: Vec<u128> = draw(n_wide)
                .into_iter()
                .map(|v| u128::from(v) << 60)
                .collect();
            let sums = || Sums {
                wide: Share::new(wide.clone()),
                narrow: Share::new(narrow.clone()),
            };
            let len_bytes = sums().len_bytes();
            let payload = sums().payload(0..len_bytes).into_owned();
            for chunk_items in [16, 32, 48, 1 << 20] {
                let chunks = Chunks {
                    n_items: payload.len(),
                    chunk_items,
                };
                let mut doubled = sums();
                for range in (0..chunks.count()).map(|k| chunks.range(k)) {
                    doubled.add(range.clone(), &payload[range]);
                }
                let twice = |values: &[u64]| -> Vec<u64> {
                    values.iter().map(|v| v.wrapping_mul(2)).collect()
                };
                assert_eq!(doubled.narrow.as_slice(), twice(&narrow));
                assert!(
                    doubled
                        .wide
                        .as_slice()
                        .iter()
                        .zip(&wide)
                        .all(|(d, w)| *d == w * 2)
                );
            }
        }
    }
}
