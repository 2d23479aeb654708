//! People who are in the tables of several holders: numbered from 0, and each table leaves every fifth out.

use protocols::party::Seat;
use protocols::psi::Item;

/// Whether the table at a place has a person.
pub(super) fn has(place: usize, person: usize) -> bool {
    person % 5 != place
}

/// The people in the table at a place.
pub(super) fn of(place: usize, n_people: usize) -> Vec<usize> {
    (0..n_people).filter(|person| has(place, *person)).collect()
}

/// Three tables at the most, the hub at the last seat of them, and how many people each has.
pub(super) fn tables(n_computing: usize, n_people: usize) -> Vec<(Seat, usize)> {
    let n_tables = n_computing.min(3);
    let table = |place| {
        (
            Seat::from_index(n_tables - 1 - place),
            of(place, n_people).len(),
        )
    };
    (0..n_tables).map(table).collect()
}

/// The place of a seat's table.
pub(super) fn place_of(tables: &[(Seat, usize)], seat: Seat) -> Option<usize> {
    tables.iter().position(|(of, _)| *of == seat)
}

/// The keys of these people.
pub(super) fn keys(people: &[usize]) -> Vec<Item> {
    let key = |person: &usize| {
        let mut item = [7; 16];
        item[..8].copy_from_slice(&(*person as u64).to_le_bytes());
        item
    };
    people.iter().map(key).collect()
}
