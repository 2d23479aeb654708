//! Real columns: what intersections and lookups give on them is known. The data are not in this
//! repository; where they are absent the tests print `skipped: no shared data`.

use crate::ideal;
use crate::world::{World, all_ok, seed_of};
use engine::curve::montgomery::Montgomery;
use protocols::disclose::Disclosure;
use protocols::lookup::combined::{self, Combine, Input, PreparedTable, Shape, look_up};
use protocols::lookup::table_key;
use protocols::party::Seat;
use protocols::price::Seats;
use protocols::psi::Item;
use protocols::psi::ecdh::{self, Common, InOrder, Learns, Shuffled, Stores};
use protocols::psi::keys::{ItemSet, KeyHash, Normalise};
use protocols::psi::tags::MemoryStore;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

fn credit_data() -> Option<PathBuf> {
    let crate_root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = crate_root
        .ancestors()
        .map(|directory| directory.join("shared/data/credit_taiwan"))
        .find(|directory| directory.is_dir());
    if found.is_none() {
        println!("skipped: no shared data");
    }
    found
}

/// The first column of a file, which has no quotes.
fn ids(directory: &Path, name: &str) -> Vec<String> {
    let text = fs::read_to_string(directory.join(name)).expect("a readable file");
    let first = text.lines().skip(1).map(|line| line.split(',').next());
    first.map(|id| id.unwrap_or_default().to_owned()).collect()
}

fn items(ids: &[String], rule: Normalise) -> Vec<Item> {
    let hash = KeyHash::new(&[3; 32], "id_no", rule);
    ItemSet::collect(ids.iter().map(|id| hash.item(&[Some(id)])))
        .items()
        .to_vec()
}

fn n_common(receiver: &[Item], sender: &[Item]) -> Common {
    let shape = ecdh::Shape {
        receiver: Seat(0),
        sender: Seat(1),
        n_receiver: receiver.len(),
        n_sender: sender.len(),
        learns: Learns::Count,
    };
    let ended = World::new(2, 1).pooled().run(async |session| {
        if session.seat() == Seat(0) {
            let items = InOrder::new(receiver.to_vec());
            let stores = Stores::in_memory();
            let common = ecdh::receive::<Montgomery>(session, &shape, items, stores);
            return common.await.map(Some);
        }
        let items = Shuffled::new(sender.to_vec(), &seed_of(2));
        let store = Box::new(MemoryStore::default());
        ecdh::send::<Montgomery>(session, &shape, items, store).await?;
        Ok(None)
    });
    all_ok(ended).swap_remove(0).expect("the receiver learns")
}

/// `psi_cardinality` of credit_taiwan: clean ids, dirty ones, and dirty ones normalised.
#[test]
fn dirty_ids_match_once_they_are_normalised() {
    let Some(data) = credit_data() else { return };
    let [a, b, dirty] = ["bank_a.csv", "bank_b.csv", "bank_b_dirty.csv"].map(|f| ids(&data, f));
    let count = |of: &[String], rule| n_common(&items(&a, rule), &items(of, rule));
    assert_eq!(count(&b, Normalise::None), Common::Count(22_952));
    assert_eq!(count(&dirty, Normalise::None), Common::Count(21_855));
    assert_eq!(count(&dirty, Normalise::UpperAlnum), Common::Count(22_952));
}

/// `multi_lender_query`: on how many of three lists each of 644 applicants is.
#[test]
fn applicants_are_looked_up_in_three_lists() {
    let Some(data) = credit_data() else { return };
    let names = ids(&data, "query_ids.csv");
    let questions = items(&names, Normalise::UpperAlnum);
    let lists = [1, 2, 3].map(|i| ids(&data, &format!("blacklist_{i}.csv")));
    let listed = lists.map(|ids| {
        let items = items(&ids, Normalise::UpperAlnum);
        items.into_iter().map(|item| (item, 1)).collect::<Vec<_>>()
    });
    let holders = Seat::first(4).skip(1).zip(listed.iter().map(Vec::len));
    let shape = Shape {
        asker: Seat(0),
        holders: holders.collect(),
        n_questions: questions.len(),
        combine: Combine::Sum,
    };
    let needs = combined::price(Seats::computing(4), &shape).needs;
    let stocks = Mutex::new(
        ideal::stocks(4, &needs, 2)
            .into_iter()
            .map(Some)
            .collect::<Vec<_>>(),
    );
    let tables = listed.iter().zip(0..).map(|(records, holder)| {
        let key = Arc::new(table_key(&seed_of(holder), 1).expect("a key"));
        (
            *key.public(),
            Arc::new(PreparedTable::new(key, records).expect("a table")),
        )
    });
    let (keys, tables): (Vec<_>, Vec<_>) = tables.unzip();
    let ended = World::new(4, 2).pooled().run(async |session| {
        let seat = session.seat().index();
        let mut stock = stocks.lock().expect("no panic")[seat].take().expect("once");
        let input = match seat {
            0 => Input::Questions(questions.clone(), keys.clone()),
            holder => Input::Records(tables[holder - 1].clone()),
        };
        let disclosure = Disclosure::approved(shape.terms());
        look_up(session, &shape, input, &mut stock, disclosure).await
    });
    let sums = all_ok(ended).swap_remove(0).expect("the asker learns");
    let mut n_with: BTreeMap<u64, usize> = BTreeMap::new();
    for sum in &sums {
        *n_with.entry(*sum).or_default() += 1;
    }
    assert_eq!(n_with, BTreeMap::from([(0, 521), (1, 74), (2, 44), (3, 5)]));
    let on_all = names.iter().zip(&sums).filter(|(_, sum)| **sum == 3);
    let mut on_all: Vec<&str> = on_all.map(|(name, _)| name.as_str()).collect();
    on_all.sort_unstable();
    let expected = [
        "I128808301",
        "K271483837",
        "P190602139",
        "R241310479",
        "T274285152",
    ];
    assert_eq!(on_all, expected);
}
