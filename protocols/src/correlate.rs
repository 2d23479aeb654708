//! Correlated randomness: needs, then stock, then take.
//!
//! A plan adds up what its protocols need ([`Needs`]). [`preprocess`] fills a [`Stock`] from the
//! source that the contract names. Protocols only take. A stock cannot be copied and what was
//! taken is gone, so no correlation is used twice; a retry is a new session with new seeds.

pub mod dealer;
mod ot;

use crate::cost::Cost;
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::session::Session;
use std::ops::Add;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bits in a word of packed triples.
const WORD_BITS: u64 = u64::BITS as u64;

/// The name of the correlation in errors.
pub(crate) const BIT_TRIPLES: &str = "bit triples";

/// How much correlated randomness a computation takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Shared bits a, b and a∧b. Taken in words of 64.
    pub bit_triples: u64,
}

impl Needs {
    /// Words of 64 bit triples.
    ///
    /// # Panics
    ///
    /// If so many words do not fit in this machine's memory.
    pub fn bit_triple_words(&self) -> usize {
        usize::try_from(self.bit_triples.div_ceil(WORD_BITS)).expect("triples fit in memory")
    }

    /// The needs of a protocol that takes so many words of bit triples.
    pub(crate) fn of_bit_triple_words(n_words: usize) -> Self {
        Self {
            bit_triples: n_words as u64 * WORD_BITS,
        }
    }

    /// True if nothing is needed, and no source.
    pub fn is_nothing(&self) -> bool {
        self.bit_triples == 0
    }
}

impl Add for Needs {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            bit_triples: self.bit_triples + other.bit_triples,
        }
    }
}

/// Where correlated randomness comes from. The contract names it and every holder approves it;
/// there is no default and no fallback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The party at this seat deals. It sees no data, and must not collude with any other party.
    Dealer {
        /// The last seat of the session.
        seat: Seat,
    },
    /// Oblivious transfer between the computing parties: no third party.
    Ot,
}

impl Source {
    /// The source as the contract names it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Dealer { .. } => "dealer",
            Self::Ot => "ot",
        }
    }

    /// Number of seats that do not compute: 1 for a dealer.
    pub fn extra_seats(&self) -> usize {
        match self {
            Self::Dealer { .. } => 1,
            Self::Ot => 0,
        }
    }
}

/// One seat's shares of packed bit triples: the XOR over all seats of `c` is the AND of the XOR of
/// `a` and the XOR of `b`, word by word.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
pub struct BitTriples {
    a: Vec<u64>,
    b: Vec<u64>,
    c: Vec<u64>,
}

impl BitTriples {
    /// Declares that these words are this seat's shares of triples.
    ///
    /// # Panics
    ///
    /// If the three have different lengths.
    pub fn new(a: Vec<u64>, b: Vec<u64>, c: Vec<u64>) -> Self {
        assert!(
            a.len() == b.len() && b.len() == c.len(),
            "vectors of unequal length"
        );
        Self { a, b, c }
    }

    /// Number of words.
    pub fn n_words(&self) -> usize {
        self.a.len()
    }

    /// The raw shares (a, b, c), for the AND protocol and for tests of a source.
    pub fn as_words(&self) -> (&[u64], &[u64], &[u64]) {
        (&self.a, &self.b, &self.c)
    }

    /// All parts in order, in vectors of their final size: what grew would leave copies behind.
    fn concatenate(parts: impl Iterator<Item = Self>, n_words: usize) -> Self {
        let with_capacity = || Vec::with_capacity(n_words);
        let mut all = Self::new(with_capacity(), with_capacity(), with_capacity());
        for part in parts {
            all.a.extend_from_slice(&part.a);
            all.b.extend_from_slice(&part.b);
            all.c.extend_from_slice(&part.c);
        }
        all
    }

    fn split_off(&mut self, n_words: usize) -> Self {
        let at = self.n_words() - n_words;
        Self {
            a: self.a.split_off(at),
            b: self.b.split_off(at),
            c: self.c.split_off(at),
        }
    }
}

/// Correlated randomness that was prepared and not yet used. It can be moved, not copied.
///
/// ```compile_fail
/// let stock = protocols::correlate::Stock::empty();
/// let twice = stock.clone(); // a correlation that is used twice reveals the difference
/// ```
#[derive(Default)]
pub struct Stock {
    bit_triples: BitTriples,
}

impl Stock {
    /// Nothing: for computations whose [`Needs::is_nothing`].
    pub fn empty() -> Self {
        Self::default()
    }

    /// A stock of bit triples.
    pub fn from_bit_triples(bit_triples: BitTriples) -> Self {
        Self { bit_triples }
    }

    /// Takes words of bit triples out.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::OutOfCorrelations`] if fewer are left.
    pub fn take_bit_triples(&mut self, n_words: usize) -> Result<BitTriples, ProtocolError> {
        self.check(&Needs::of_bit_triple_words(n_words))?;
        Ok(self.bit_triples.split_off(n_words))
    }

    /// Checks that there is enough for a protocol before it begins.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::OutOfCorrelations`] if there is not.
    pub fn check(&self, needs: &Needs) -> Result<(), ProtocolError> {
        let (needed, left) = (needs.bit_triples, self.left().bit_triples);
        if needed > left {
            return Err(ProtocolError::OutOfCorrelations {
                kind: BIT_TRIPLES,
                needed,
                left,
            });
        }
        Ok(())
    }

    /// What is left.
    pub fn left(&self) -> Needs {
        Needs::of_bit_triple_words(self.bit_triples.n_words())
    }
}

/// Fills a stock from the contracted source. The computing seats call this; a dealer calls
/// [`dealer::serve`] with the same needs.
///
/// # Seats     symmetric among the computing seats
/// # Inputs    `needs`: the same at all seats
/// # Output    a stock of exactly these needs, in whole words
/// # Cost      [`cost`]; nothing if nothing is needed
/// # Security  that of the source: a dealer is trusted not to collude, see [`dealer`]; oblivious
///   transfer trusts nobody, and is computational and semi-honest
/// # Errors    the source's own
pub async fn preprocess(
    session: &mut Session,
    source: &Source,
    needs: &Needs,
) -> Result<Stock, ProtocolError> {
    if needs.is_nothing() {
        return Ok(Stock::empty());
    }
    let outcome = match source {
        Source::Dealer { seat } => dealer::receive(session, *seat, needs).await,
        Source::Ot => ot::generate(session, needs).await,
    };
    session.ended_by(outcome)
}

/// The declared cost of [`preprocess`] over all seats, the dealer's included.
pub fn cost(source: &Source, n_computing: usize, needs: &Needs) -> Cost {
    match source {
        Source::Dealer { .. } => dealer::cost(n_computing, needs),
        Source::Ot => ot::cost(n_computing, needs),
    }
}
