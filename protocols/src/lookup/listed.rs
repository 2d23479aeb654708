//! Lookups in the tables of several holders at once, each of which is told by itself.

use super::ship::table_rounds;
use super::table::{SealedTable, TableShape};
use super::{Sent, answer, ask, receive_table, rounds, ship};
use crate::cost::Cost;
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::psi::Item;
use crate::session::Session;
use engine::oprf::ServerKey;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What an asker knows of one holder's table.
#[derive(Clone)]
pub struct Asked {
    /// The largest table that it takes.
    pub at_most: TableShape,
    /// The table that it has from an earlier session.
    pub known: Option<Arc<SealedTable>>,
}

/// What an asker has from one holder.
pub struct Found {
    /// The table, to be kept for later sessions: the known one if the holder has no other.
    pub table: Arc<SealedTable>,
    /// For each question the value that stands under it, or nothing.
    pub values: Vec<Option<Vec<u8>>>,
}

/// Asks several holders for the records of these keys, all at the same time.
///
/// # Seats     this one; each holder calls [`answer_one`]
/// # Inputs    `asked`: the holders; `questions`: keys as the holders' were hashed
/// # Output    what each holder has, by holder
/// # Cost      4 rounds, however many holders; [`cost`]
/// # Security  as [`receive_table`] and [`ask`] towards each holder; holders see nothing of each other
/// # Errors    those of [`receive_table`] and [`ask`]
/// # Source    as these
pub async fn ask_all(
    session: &mut Session,
    asked: BTreeMap<Seat, Asked>,
    questions: Vec<Item>,
) -> Result<BTreeMap<Seat, Found>, ProtocolError> {
    let holders: Vec<Seat> = asked.keys().copied().collect();
    let (me, asked, questions) = (session.seat(), Arc::new(asked), Arc::new(questions));
    let found = session
        .star("listed lookup", (me, &holders), |child, holder| {
            let (asked, questions) = (Arc::clone(&asked), Arc::clone(&questions));
            Box::pin(async move {
                let Asked { at_most, known } = asked[&holder].clone();
                let table = receive_table(child, holder, &at_most, known).await?;
                let questions = questions.to_vec();
                let values = ask(child, holder, Arc::clone(&table), questions).await?;
                Ok(Found { table, values })
            })
        })
        .await?;
    Ok(holders.into_iter().zip(found).collect())
}

/// Answers one asker, who may ask others at the same time. Returns how many questions there were.
///
/// # Seats     this one; `asker` calls [`ask_all`], whose documentation has the rest
/// # Inputs    `table` and its `key`; `at_most`: the questions that policy allows
/// # Output    the number of questions that were answered
/// # Cost      see [`ask_all`]
/// # Security  see [`ask_all`]
/// # Errors    those of [`ship`] and [`answer`]
/// # Source    see [`ask_all`]
pub async fn answer_one(
    session: &mut Session,
    asker: Seat,
    (table, key): (Arc<SealedTable>, Arc<ServerKey>),
    at_most: usize,
) -> Result<usize, ProtocolError> {
    let me = session.seat();
    let answered = session
        .star("listed lookup", (asker, &[me]), |child, asker| {
            let (table, key) = (Arc::clone(&table), Arc::clone(&key));
            Box::pin(async move {
                ship(child, asker, table).await?;
                answer(child, asker, key, at_most).await
            })
        })
        .await?;
    Ok(answered.into_iter().sum())
}

/// The declared cost of [`ask_all`]. `tables`: of each holder the shape, and whether its records go out.
pub fn cost(
    n_seats: usize,
    asker: Seat,
    tables: &[(Seat, TableShape, bool)],
    n_questions: usize,
) -> Cost {
    let mut sent: Vec<Vec<Sent>> = vec![Vec::new(); 4];
    for (holder, shape, follows) in tables {
        let shipped = table_rounds(*holder, asker, shape, *follows).into_iter();
        let asked = rounds(asker, *holder, n_questions).into_iter();
        for (all, round) in sent.iter_mut().zip(shipped.chain(asked)) {
            all.extend(round);
        }
    }
    let rounds = sent.into_iter().map(|sent| Cost::round(n_seats, sent));
    rounds.fold(Cost::none(n_seats), |sum, round| sum.then(&round))
}
