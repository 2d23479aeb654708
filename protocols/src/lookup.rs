//! Private lookup: one party asks whether a key is in another party's table, and what stands there.
//! The holder learns how often it was asked, and nothing of what.
//!
//! ```text
//! once a version   holder → asker   every record, encrypted under F(k, key), in random order ([`ship`])
//! each question    asker → holder   the key, blinded                              32 bytes
//!                  holder → asker   F(k, ·) of it, blinded, and a proof            32 bytes
//! asker            opens the record of F(k, key), if there is one
//! ```
//!
//! F is the verifiable oblivious pseudo-random function of RFC 9497. A record that was not asked
//! for stays closed, and a key that is not in the table gives the same messages as one that is.
//! [`table`] says how records are encrypted. Where several holders are asked for a sum and the asker
//! must not learn which of them has what, see [`combined`].

pub mod table;
mod ship;
pub mod listed;
pub mod introduce;
pub mod combined;

use crate::cost::{Cost, Stream};
use crate::error::{Misdeed, ProtocolError};
use crate::party::Seat;
use crate::psi::{Count, Item};
use crate::session::stream::{Consumer, Producer};
use crate::session::{Chunks, Session};
use crate::wire::{Kind, Wire, WireError, bytes_message};
use bytes::Bytes;
use engine::curve::Encoded;
use engine::oprf::{Client, Evaluation, Mode, OprfError, Output, PROOF_BYTES, ServerKey};
use engine::params::POINT_BYTES;
use engine::prg::{Prg, Seed};
use std::ops::Range;
use std::sync::Arc;
use table::{SealedTable, TableShape};

pub use ship::{receive_table, ship, table_cost};

/// Questions of one message, and of one proof.
const CHUNK_QUESTIONS: usize = 1024;

/// Asks for the records of these keys.
///
/// # Seats     this one; `holder` calls [`answer`]
/// # Inputs    `table`: the holder's, as it was shipped; `questions`: keys as the holder's were hashed
/// # Output    for each question the value that stands under it, or nothing
/// # Cost      2 rounds; 8 bytes and 32 for each question to the holder; 32 for each question and 64
///   for every 1024 back; [`cost`]
/// # Security  against a holder that deviates: it learns the number of questions, and cannot answer
///   one of them, or one asker, with another key. Semi-honest asker: one that deviates can ask for
///   other keys, as many as it has announced. One-more gap Diffie–Hellman on ristretto255, hashes as
///   random oracles
/// # Errors    [`ProtocolError::Link`]; [`ProtocolError::PeerMisbehaved`] (length, no group element, a
///   proof that does not hold, a record that does not open)
/// # Source    RFC 9497, mode VOPRF; Jarecki–Kiayias–Krawczyk, ASIACRYPT '14
pub async fn ask(
    session: &mut Session,
    holder: Seat,
    table: Arc<SealedTable>,
    questions: Vec<Item>,
) -> Result<Vec<Option<Vec<u8>>>, ProtocolError> {
    let asked = put_questions(session, holder, questions).await?;
    let outputs = hear_answers(session, holder, asked, *table.public()).await?;
    let kernel = move || {
        let found = outputs.iter().map(|output| table.find(output));
        found.collect::<Result<_, _>>()
    };
    let found = session.compute().run(kernel).await;
    session.ended_by(found.map_err(|_| rule(holder, "a record of its table does not open")))
}

/// Answers questions, and returns how many there were: what the holder counts, and may charge for.
///
/// # Seats     this one; `asker` calls [`ask`], whose documentation has the rest
/// # Inputs    `key`: of the table that was shipped; `at_most`: the questions that policy allows
/// # Output    the number of questions that were answered
/// # Cost      see [`ask`]
/// # Security  see [`ask`]
/// # Errors    [`ProtocolError::Link`]; [`ProtocolError::PeerMisbehaved`] (length, no group element,
///   more than `at_most` questions, before the first is answered)
/// # Source    see [`ask`]
pub async fn answer(
    session: &mut Session,
    asker: Seat,
    key: Arc<ServerKey>,
    at_most: usize,
) -> Result<usize, ProtocolError> {
    let outcome = try_answer(session, asker, key, at_most).await;
    session.ended_by(outcome)
}

async fn try_answer(
    session: &mut Session,
    asker: Seat,
    key: Arc<ServerKey>,
    at_most: usize,
) -> Result<usize, ProtocolError> {
    let Count(announced) = session.recv(asker, ()).await?;
    let n_questions = usize::try_from(announced).ok().filter(|n| *n <= at_most);
    let too_many = || rule(asker, "it asks more than was agreed on");
    let n_questions = n_questions.ok_or_else(too_many)?;
    let chunks = question_chunks(n_questions);
    let questions = IncomingQuestions {
        elements: Vec::new(),
    };
    let questions = session.stream_from(asker, chunks, questions).await?;
    let answers = OutgoingAnswers {
        key,
        asker,
        questions: questions.elements,
        prg: Prg::new(&session.own_seed("nonces of proofs"), 0),
    };
    session.stream_to(asker, chunks, answers).await?;
    Ok(n_questions)
}

/// The declared cost of [`ask`] and [`answer`].
pub fn cost(n_seats: usize, asker: Seat, holder: Seat, n_questions: usize) -> Cost {
    let rounds = rounds(asker, holder, n_questions).into_iter();
    rounds.fold(Cost::none(n_seats), |cost, sent| {
        cost.then(&Cost::round(n_seats, sent))
    })
}

/// What one seat sends another.
type Sent = (Seat, Seat, Stream);

/// One message of this length.
fn one(n_bytes: usize) -> Stream {
    Stream {
        n_bytes: n_bytes as u64,
        n_messages: 1,
    }
}

/// What is sent in each round of questions and answers.
fn rounds(asker: Seat, holder: Seat, n_questions: usize) -> [Vec<Sent>; 2] {
    let questions = Stream::of(question_chunks(n_questions), POINT_BYTES);
    let answers = questions.with_overhead(PROOF_BYTES);
    [
        vec![(asker, holder, one(8)), (asker, holder, questions)],
        vec![(holder, asker, answers)],
    ]
}

/// The first half of [`ask`].
async fn put_questions(
    session: &mut Session,
    holder: Seat,
    questions: Vec<Item>,
) -> Result<Asked, ProtocolError> {
    let n_questions = questions.len();
    let seed = session.own_seed("blinds of questions");
    session.send(holder, Count(n_questions as u64)).await?;
    let asked = Asked {
        prg: Prg::new(&seed, 0),
        questions,
        clients: Vec::new(),
    };
    session
        .stream_to(holder, question_chunks(n_questions), asked)
        .await
}

/// The second half of [`ask`]: F(k, ·) of every question, for the key that belongs to `public`.
async fn hear_answers(
    session: &mut Session,
    holder: Seat,
    asked: Asked,
    public: Encoded,
) -> Result<Vec<Output>, ProtocolError> {
    let chunks = question_chunks(asked.questions.len());
    let answers = IncomingAnswers {
        holder,
        public,
        clients: asked.clients.into_iter(),
        outputs: Vec::with_capacity(chunks.n_items),
    };
    let answers = session.stream_from(holder, chunks, answers).await?;
    Ok(answers.outputs)
}

fn question_chunks(n_items: usize) -> Chunks {
    Chunks {
        n_items,
        chunk_items: CHUNK_QUESTIONS,
    }
}

fn rule(seat: Seat, what: &'static str) -> ProtocolError {
    ProtocolError::PeerMisbehaved {
        seat,
        what: Misdeed::Rule(what),
    }
}

/// What a peer's elements did wrong.
fn blame(peer: Seat, error: OprfError) -> ProtocolError {
    let what = match error {
        OprfError::Element(_) => "a string that is no group element",
        OprfError::Proof => "a proof that does not hold",
        _ => "a step of another protocol",
    };
    ProtocolError::from_wire(peer, WireError::Content { what })
}

/// The asker's questions on their way out, and what it needs to read the answers.
struct Asked {
    prg: Prg,
    questions: Vec<Item>,
    clients: Vec<Client<Item>>,
}

impl Producer for Asked {
    type Message = Questions;

    fn make(&mut self, items: Range<usize>) -> Result<Questions, ProtocolError> {
        let questions = self.questions[items].to_vec();
        let client = Client::new(Mode::Verifiable, questions, &mut self.prg);
        let client = client.map_err(|_| ProtocolError::Unlucky {
            what: "hashing a key to the group",
        })?;
        let body = Bytes::from(client.blinded().as_flattened().to_vec());
        self.clients.push(client);
        Ok(Questions { body })
    }
}

struct IncomingQuestions {
    elements: Vec<Encoded>,
}

impl Consumer for IncomingQuestions {
    type Message = Questions;

    fn shape(&self, n_items: usize) -> usize {
        n_items
    }

    fn take(&mut self, _: Range<usize>, chunk: Questions) -> Result<(), ProtocolError> {
        let (elements, _) = chunk.body.as_chunks();
        self.elements.extend_from_slice(elements);
        Ok(())
    }
}

struct OutgoingAnswers {
    key: Arc<ServerKey>,
    asker: Seat,
    questions: Vec<Encoded>,
    prg: Prg,
}

impl Producer for OutgoingAnswers {
    type Message = Answers;

    fn make(&mut self, items: Range<usize>) -> Result<Answers, ProtocolError> {
        let evaluation = self
            .key
            .evaluate_blinded(&self.questions[items], &mut self.prg);
        let Evaluation { elements, proof } = evaluation.map_err(|e| blame(self.asker, e))?;
        let mut body = elements.into_flattened();
        body.extend_from_slice(&proof.expect("this mode has proofs"));
        Ok(Answers { body: body.into() })
    }
}

struct IncomingAnswers {
    holder: Seat,
    public: Encoded,
    clients: std::vec::IntoIter<Client<Item>>,
    outputs: Vec<Output>,
}

impl Consumer for IncomingAnswers {
    type Message = Answers;

    fn shape(&self, n_items: usize) -> usize {
        n_items
    }

    fn take(&mut self, _: Range<usize>, chunk: Answers) -> Result<(), ProtocolError> {
        let client = self.clients.next().expect("one for each chunk");
        let (elements, proof) = chunk.body.split_at(chunk.body.len() - PROOF_BYTES);
        let answer = Evaluation {
            elements: elements.as_chunks().0.to_vec(),
            proof: Some(proof.try_into().expect("its length")),
        };
        let outputs = client.finish(&answer, &self.public);
        self.outputs
            .extend(outputs.map_err(|e| blame(self.holder, e))?);
        Ok(())
    }
}

/// What is told of a table before it comes.
struct Header {
    shape: TableShape,
    public: Encoded,
}

impl Header {
    const BYTES: usize = 8 + 4 + 8 + POINT_BYTES;
}

impl Wire for Header {
    const KIND: Kind = Kind::Table;
    type Shape = ();

    fn wire_len((): ()) -> usize {
        Self::BYTES
    }

    fn encode(self) -> Bytes {
        let TableShape {
            n_records,
            value_bytes,
            version,
        } = self.shape;
        let mut body = Vec::with_capacity(Self::BYTES);
        body.extend_from_slice(&(n_records as u64).to_le_bytes());
        body.extend_from_slice(&(value_bytes as u32).to_le_bytes());
        body.extend_from_slice(&version.to_le_bytes());
        body.extend_from_slice(&self.public);
        body.into()
    }

    fn decode((): (), body: Bytes) -> Result<Self, WireError> {
        let (n_records, rest) = body.split_at(8);
        let (value_bytes, rest) = rest.split_at(4);
        let (version, public) = rest.split_at(8);
        let number = |bytes: &[u8]| {
            let mut padded = [0; 8];
            padded[..bytes.len()].copy_from_slice(bytes);
            u64::from_le_bytes(padded)
        };
        let length = |bytes| {
            usize::try_from(number(bytes)).map_err(|_| WireError::Content {
                what: "a length that no machine has",
            })
        };
        Ok(Self {
            shape: TableShape {
                n_records: length(n_records)?,
                value_bytes: length(value_bytes)?,
                version: number(version),
            },
            public: public.try_into().expect("32 bytes are left"),
        })
    }
}

bytes_message! {
    /// Blinded keys; the shape is their number.
    Questions, Elements, |n_items| n_items * POINT_BYTES
}
bytes_message! {
    /// Blinded values of F, and a proof of all of them; the shape is their number.
    Answers, Evaluations, |n_items| n_items * POINT_BYTES + PROOF_BYTES
}
/// The key of one version of a table, from a seed that its holder keeps.
///
/// # Errors
///
/// [`ProtocolError::Unlucky`] with a probability that is none.
pub fn table_key(seed: &Seed, version: u64) -> Result<ServerKey, ProtocolError> {
    let key = ServerKey::derive(Mode::Verifiable, seed, &version.to_le_bytes());
    key.map_err(|_| ProtocolError::Unlucky {
        what: "deriving a key",
    })
}
