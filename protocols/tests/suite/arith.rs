//! Every protocol on arithmetic and Boolean shares, held to the same demands: its plain counterpart,
//! its declared price, messages that do not depend on secrets and look uniform, and an orderly end if a
//! seat dies at any message. Correlations are the ideal source's.

mod real;
mod ops;
mod demands;
mod edges;
mod tabled;
mod sources;

use crate::ideal;
use crate::world::{Ended, World, prg};
use engine::bits;
use engine::prg::Prg;
use engine::ring::{self, Ring};
use engine::share::boolean::BitShare;
use engine::share::{self, Share};
use protocols::correlate::{Stock, StockedRing};
use protocols::error::ProtocolError;
use protocols::price::Seats;
use protocols::session::Session;
use std::sync::Mutex;

/// What goes into a protocol or comes out of it, in the clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Clear<R> {
    pub(crate) ring: Vec<Vec<R>>,
    /// Vectors of `n_bits` bits.
    pub(crate) bits: Vec<(usize, Vec<u64>)>,
}

impl<R> Default for Clear<R> {
    fn default() -> Self {
        Self {
            ring: Vec::new(),
            bits: Vec::new(),
        }
    }
}

impl<R: Ring> Clear<R> {
    pub(crate) fn of_ring(ring: Vec<Vec<R>>) -> Self {
        Self {
            ring,
            bits: Vec::new(),
        }
    }

    pub(crate) fn of_bits(bits: Vec<Vec<bool>>) -> Self {
        let packed = bits.iter().map(|b| (b.len(), bits::pack(b))).collect();
        Self {
            ring: Vec::new(),
            bits: packed,
        }
    }

    pub(crate) fn split(&self, n_seats: usize, prg: &mut Prg) -> Vec<Shared<R>> {
        let mut all: Vec<Shared<R>> = (0..n_seats).map(|_| Shared::default()).collect();
        for values in &self.ring {
            let parts = share::split(values.clone(), n_seats, prg);
            all.iter_mut().zip(parts).for_each(|(s, p)| s.ring.push(p));
        }
        for (n_bits, words) in &self.bits {
            let mut last = words.clone();
            for shared in &mut all[1..] {
                let mut part = vec![0; words.len()];
                prg.fill_ring(&mut part);
                bits::xor_assign(&mut last, &part);
                shared.bits.push(BitShare::from_words(*n_bits, part));
            }
            all[0].bits.push(BitShare::from_words(*n_bits, last));
        }
        all
    }
}

/// One seat's shares of a [`Clear`].
pub(crate) struct Shared<R: Ring> {
    pub(crate) ring: Vec<Share<R>>,
    pub(crate) bits: Vec<BitShare>,
}

impl<R: Ring> Default for Shared<R> {
    fn default() -> Self {
        Self {
            ring: Vec::new(),
            bits: Vec::new(),
        }
    }
}

/// What all seats' shares stand for.
pub(crate) fn joined<R: Ring>(parts: Vec<Shared<R>>) -> Clear<R> {
    let mut parts = parts.into_iter();
    let first = parts.next().expect("at least one seat");
    let into_words = |b: BitShare| (b.n_bits(), b.into_words());
    let mut sum = Clear {
        ring: first.ring.into_iter().map(Share::into_vec).collect(),
        bits: first.bits.into_iter().map(into_words).collect(),
    };
    for part in parts {
        assert_eq!(part.ring.len(), sum.ring.len());
        assert_eq!(part.bits.len(), sum.bits.len());
        for (sum, part) in sum.ring.iter_mut().zip(&part.ring) {
            ring::add_assign(sum, part.as_slice());
        }
        for (sum, part) in sum.bits.iter_mut().zip(&part.bits) {
            bits::xor_assign(&mut sum.1, part.as_words());
        }
    }
    sum
}

/// Runs a protocol on a world of computing seats, from shares of `inputs` and an ideal stock. Every seat
/// that ends well has used its stock up.
pub(crate) fn run<R: StockedRing>(
    world: World,
    inputs: &Clear<R>,
    needs: &protocols::correlate::Needs,
    protocol: impl AsyncFn(&mut Session, Shared<R>, &mut Stock) -> Result<Shared<R>, ProtocolError>,
) -> Vec<Ended<Shared<R>>> {
    let (n_seats, seed) = (world.n_seats(), world.seed);
    let shares = inputs.split(n_seats, &mut prg(seed ^ 0x5a5a));
    let stocks = ideal::stocks(n_seats, needs, seed);
    let parts: Vec<_> = shares.into_iter().zip(stocks).map(Some).collect();
    let parts = Mutex::new(parts);
    world.run(async |session| {
        let part = parts.lock().expect("no panic")[session.seat().index()].take();
        let (shares, mut stock) = part.expect("each seat takes its part once");
        let output = protocol(session, shares, &mut stock).await?;
        assert!(stock.left().is_nothing(), "the stock is used up");
        Ok(output)
    })
}

pub(crate) fn seats(n_computing: usize) -> Seats {
    Seats::computing(n_computing)
}
