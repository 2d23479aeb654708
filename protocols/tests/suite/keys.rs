//! From spellings to items: the rules, composite keys, missing keys, duplicates and separation.

use engine::prg::{Prg, Seed};
use protocols::psi::ecdh::ItemSource;
use protocols::psi::keys::{ItemSet, KeyHash, Normalise};
use protocols::psi::stored::SetWriter;
use protocols::psi::tags::{Entry, MemoryStore, StoreError, TagStore};
use protocols::psi::{Item, tag_bytes};
use std::collections::BTreeSet;
use std::ops::Range;

const RULES: [Normalise; 4] = [
    Normalise::None,
    Normalise::Trim,
    Normalise::UpperAlnum,
    Normalise::Digits,
];

#[test]
fn rules_leave_what_they_say() {
    let cases = [
        // text, none, trim, upper_alnum, digits
        [
            "A123456789",
            "A123456789",
            "A123456789",
            "A123456789",
            "123456789",
        ],
        [
            " a123-456.789\t",
            " a123-456.789\t",
            "a123-456.789",
            "A123456789",
            "123456789",
        ],
        // full-width digits and letters, an ideographic space, a no-break space
        [
            "Ａ１２３\u{3000}４5",
            "Ａ１２３\u{3000}４5",
            "A123 45",
            "A12345",
            "12345",
        ],
        ["\u{a0}7\u{a0}", "\u{a0}7\u{a0}", "7", "7", "7"],
        // one letter becomes two; a ligature; a superscript
        ["straße", "straße", "straße", "STRASSE", ""],
        ["ﬁle²", "ﬁle²", "file2", "FILE2", "2"],
        // characters of other scripts are no A–Z, and their digits no 0–9
        ["身分証Ω٣", "身分証Ω٣", "身分証Ω٣", "", ""],
        ["", "", "", "", ""],
    ];
    for [text, expected @ ..] in cases {
        for (rule, expected) in RULES.into_iter().zip(expected) {
            assert_eq!(rule.apply(text), expected, "{rule:?} of {text:?}");
        }
    }
}

#[test]
fn rules_have_the_names_of_the_job_file() {
    let names = ["none", "trim", "upper_alnum", "digits"];
    assert_eq!(names.map(Normalise::named), RULES.map(Some));
    assert_eq!(Normalise::named("UPPER"), None);
}

/// Every kind of noise that the dirty columns of the sample data have.
#[test]
fn noisy_spellings_are_one_item() {
    let hash = KeyHash::new(&[1; 32], "id", Normalise::UpperAlnum);
    let noisy = [
        "a123456789",
        " A123456789",
        "A123456789 ",
        "A123-456789",
        "A12 345 6789",
        "A1.234.56789",
        "A１２３４５６７８９",
    ];
    let clean = hash.item(&[Some("A123456789")]);
    assert!(clean.is_some());
    assert!(noisy.iter().all(|id| hash.item(&[Some(id)]) == clean));
    assert!(hash.item(&[Some("A123456780")]) != clean);
}

#[test]
fn fields_of_a_key_do_not_run_into_each_other() {
    let hash = KeyHash::new(&[1; 32], "id", Normalise::None);
    let keys: [&[Option<&str>]; 6] = [
        &[Some("ab"), Some("c")],
        &[Some("a"), Some("bc")],
        &[Some("abc")],
        &[Some("c"), Some("ab")],
        &[Some("ab"), Some("c"), Some("d")],
        &[Some("AB"), Some("c")],
    ];
    let items: BTreeSet<Option<Item>> = keys.iter().map(|key| hash.item(key)).collect();
    assert_eq!(items.len(), keys.len());
}

#[test]
fn a_key_with_a_part_missing_is_no_item() {
    let hash = KeyHash::new(&[1; 32], "id", Normalise::Digits);
    for key in [
        &[None][..],
        &[Some("")],
        &[Some(" - ")],
        &[Some("1"), None],
        &[Some("1"), Some("x")],
    ] {
        assert_eq!(hash.item(key), None, "{key:?}");
    }
    assert!(hash.item(&[Some("0")]).is_some());
}

/// Sessions, columns and rules each have items of their own.
#[test]
fn items_are_bound_to_their_job() {
    let hashes = [
        KeyHash::new(&[1; 32], "id", Normalise::None),
        KeyHash::new(&[2; 32], "id", Normalise::None),
        KeyHash::new(&[1; 32], "other", Normalise::None),
        KeyHash::new(&[1; 32], "id", Normalise::Trim),
    ];
    let items: BTreeSet<_> = hashes.iter().map(|h| h.item(&[Some("7")])).collect();
    assert_eq!(items.len(), hashes.len());
}

#[test]
fn a_set_keeps_first_rows_and_counts_the_rest() {
    let item = |i: u8| Some([i; 16]);
    let rows = [
        item(9),
        None,
        item(3),
        item(9),
        item(1),
        None,
        item(3),
        item(9),
    ];
    let set = ItemSet::collect(rows);
    assert_eq!(set.items(), [[9; 16], [3; 16], [1; 16]]);
    assert_eq!(set.rows(), [0, 2, 4]);
    assert_eq!((set.n_duplicates(), set.n_missing()), (3, 2));
    let empty = ItemSet::collect([]);
    assert!(empty.items().is_empty());
    assert_eq!((empty.n_duplicates(), empty.n_missing()), (0, 0));
}

/// In a store, in many runs: the same set, each item once, as often as it is asked for.
#[test]
fn a_set_in_a_store_is_the_set_in_memory() {
    println!("seed [6; 32]");
    let seed = Seed::from_bytes([6; 32]);
    let mut prg = Prg::new(&seed, 0);
    for n in [0, 1, 2, 2000] {
        let rows: Vec<Option<Item>> = (0..n)
            .map(|_| prg.next_bounded(n))
            .map(|i| (i % 7 != 3).then(|| u128::from(i).to_le_bytes()))
            .collect();
        let expected = ItemSet::collect(rows.iter().copied());
        let store = || Box::new(Runs(MemoryStore::default()));
        let mut writer = SetWriter::new(store());
        for rows in rows.chunks(97) {
            writer.add(rows.iter().copied()).expect("room");
        }
        let mut set = writer.finish().expect("room");
        assert_eq!(set.n_items(), expected.items().len());
        assert_eq!(set.n_duplicates(), expected.n_duplicates());
        assert_eq!(set.n_missing(), expected.n_missing());
        let mut sorted = expected.items().to_vec();
        sorted.sort_unstable();
        let mut orders = BTreeSet::new();
        for _ in 0..3 {
            let order = Seed::random(&mut prg);
            let mut items = set.shuffled(&order, store()).expect("room");
            let mut found = items.read(set.n_items()).expect("all of them");
            assert!(items.read(1).is_err(), "there are no more");
            orders.insert(found.clone());
            found.sort_unstable();
            assert_eq!(found, sorted);
        }
        assert!(n < 3 || orders.len() == 3, "orders are random");
    }
}

/// Runs of 64 entries, in memory.
struct Runs(MemoryStore);

impl TagStore for Runs {
    fn run_entries(&self) -> usize {
        64
    }

    fn keep(&mut self, run: usize, entries: Vec<Entry>) -> Result<(), StoreError> {
        self.0.keep(run, entries)
    }

    fn read(&mut self, run: usize, entries: Range<usize>) -> Result<Vec<Entry>, StoreError> {
        self.0.read(run, entries)
    }
}

/// Row by row or all at once.
#[test]
fn many_keys_are_hashed_as_one_is() {
    let hash = KeyHash::new(&[7; 32], "name, day", Normalise::UpperAlnum);
    let names: Vec<Option<String>> = (0..3000)
        .map(|i| (i % 11 != 0).then(|| format!("x-{}", i % 13)))
        .collect();
    let cell = |field: usize, row: usize| match field {
        0 => names[row].as_deref(),
        _ => (!row.is_multiple_of(5)).then_some("2026"),
    };
    let items = hash.items((names.len(), 2), cell);
    assert_eq!(items.len(), names.len());
    for (row, item) in items.iter().enumerate() {
        assert_eq!(*item, hash.item(&[cell(0, row), cell(1, row)]));
    }
}

#[test]
fn tags_are_as_long_as_the_number_of_pairs_asks_for() {
    assert_eq!(tag_bytes(0, 0), 5);
    assert_eq!(tag_bytes(1, 1), 5);
    assert_eq!(tag_bytes(2, 1), 6);
    assert_eq!(tag_bytes(1 << 20, 1 << 20), 10);
    assert_eq!(tag_bytes((1 << 20) + 1, 1 << 20), 11);
    assert_eq!(tag_bytes(1 << 40, 1 << 48), 16);
}
