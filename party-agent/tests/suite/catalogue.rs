//! What is published about a table, and what is not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use party_agent::catalogue::{
    Aggregate, Catalogue, CatalogueError, CategoryRule, ColumnKind, ColumnRule, Publish, Uses,
    arrow_schema, describe,
};
use party_agent::source::Source;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::plans;

const TABLE: &str = "id,grp,paid,age,sex,day,x\n\
                     A-001,g2,12.50,34,true,2024-01-02,0.015625\n\
                     A-002,g1,-3.10,71,false,2024-01-01,1e3\n\
                     A-003,,99999.99,,true,2024-01-02,-7\n";

async fn source(text: &str) -> (tempfile::TempDir, Source) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("t.csv"), text).expect("written");
    let source = Source::open_dir(dir.path()).await.expect("a table");
    (dir, source)
}

fn catalogue(entry: party_agent::catalogue::TableEntry) -> Catalogue {
    Catalogue {
        party: plans::party("hospital_1"),
        min_cell: 11,
        open_counts: false,
        round_to: None,
        rehearsal: true,
        tables: BTreeMap::from([("t".to_owned(), entry)]),
    }
}

#[tokio::test]
async fn a_rehearsal_publishes_categories_and_magnitudes() {
    let (_dir, source) = source(TABLE).await;
    let entry = describe(&source, "t", &Publish::Rehearsal, None)
        .await
        .expect("described");
    assert_eq!(entry.rows_at_most, 1024);
    let column = |name: &str| {
        entry
            .columns
            .iter()
            .find(|c| c.name == name)
            .expect("published")
    };
    let texts = |name: &str| column(name).categories.clone().expect("published");
    let text = |t: &str| Some(t.to_owned());
    assert_eq!(texts("grp"), [None, text("g1"), text("g2")]);
    assert_eq!(texts("sex"), [text("false"), text("true")]);
    assert_eq!(texts("day"), [text("2024-01-01"), text("2024-01-02")]);
    assert_eq!(texts("age"), [None, text("34"), text("71")]);
    let range = |name: &str| {
        column(name)
            .range
            .clone()
            .map(|(low, high)| format!("{low} {high}"))
    };
    assert_eq!(range("paid"), text("-4 131072"));
    assert_eq!(range("age"), text("0 128"));
    assert_eq!(range("x"), text("-8 1024"));
    assert_eq!((range("grp"), range("day")), (None, None));
    assert!(column("grp").nullable && !column("id").nullable);
    assert_eq!(column("paid").uses, Uses::all());
    // What a planner sees is what the source hands out.
    let provider = source.tables()["t"].provider().schema();
    let types = |s: &arrow::datatypes::Schema| {
        s.fields()
            .iter()
            .map(|f| (f.name().clone(), f.data_type().clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(types(&arrow_schema(&entry)), types(&provider));
}

#[tokio::test]
async fn a_policy_publishes_what_it_says_and_nothing_else() {
    let (_dir, source) = source(TABLE).await;
    let rule = |uses: Uses, categories| ColumnRule {
        uses,
        categories,
        ..ColumnRule::default()
    };
    let group = Uses {
        group_by: true,
        ..Uses::default()
    };
    let sum = Uses {
        aggregate: BTreeSet::from([Aggregate::Sum]),
        ..Uses::default()
    };
    let listed = BTreeSet::from([Some("34".to_owned()), Some("35".to_owned())]);
    let rules = BTreeMap::from([
        ("id".to_owned(), ColumnRule::default()),
        (
            "grp".to_owned(),
            rule(group.clone(), CategoryRule::FromData),
        ),
        (
            "age".to_owned(),
            rule(group, CategoryRule::Listed(listed.clone())),
        ),
        (
            "paid".to_owned(),
            ColumnRule {
                range: Some(("-1000.00".to_owned(), "250000.00".to_owned())),
                unit: Some("EUR".to_owned()),
                ..rule(sum, CategoryRule::None)
            },
        ),
    ]);
    let publish = Publish::Policy(rules.clone());
    let entry = describe(&source, "t", &publish, Some("2024 only".to_owned()))
        .await
        .expect("described");
    let names: Vec<_> = entry.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["id", "grp", "paid", "age"]);
    let [id, grp, paid, age] = &entry.columns[..] else {
        panic!("four columns")
    };
    assert_eq!(
        (&id.categories, &id.range, &id.uses),
        (&None, &None, &Uses::default())
    );
    assert_eq!(grp.categories.as_ref().map(Vec::len), Some(3));
    assert_eq!(age.categories, Some(listed.into_iter().collect()));
    assert_eq!(
        (
            paid.unit.as_deref(),
            paid.range.as_ref().map(|r| r.1.as_str())
        ),
        (Some("EUR"), Some("250000.00"))
    );
    let json = catalogue(entry).to_json();
    for value in ["A-00", "12.5", "99999", "71", "2024-01", "0.0156"] {
        assert!(!json.contains(value), "{value} is a value of a row: {json}");
    }

    let mut typo = rules;
    typo.insert("gpr".to_owned(), ColumnRule::default());
    let fault = describe(&source, "t", &Publish::Policy(typo), None)
        .await
        .expect_err("no such column");
    assert!(
        fault
            .to_string()
            .contains("column gpr of t: the table has no such column"),
        "{fault}"
    );
    let fault = describe(&source, "u", &publish, None)
        .await
        .expect_err("no such table");
    assert!(fault.to_string().contains("table u"), "{fault}");
}

#[tokio::test]
async fn too_many_distinct_values_are_no_categories() {
    let mut text = String::from("id,n\n");
    for i in 0..4097 {
        writeln!(text, "p{i},{}", i % 4096).expect("a String takes all");
    }
    let (_dir, source) = source(&text).await;
    let entry = describe(&source, "t", &Publish::Rehearsal, None)
        .await
        .expect("described");
    assert_eq!(entry.rows_at_most, 8192);
    assert_eq!(entry.columns[0].categories, None);
    assert_eq!(
        entry.columns[1].categories.as_ref().map(Vec::len),
        Some(4096)
    );
    assert_eq!(
        entry.columns[1].kind,
        ColumnKind::Int {
            bits: 64,
            signed: true
        }
    );
}

#[tokio::test]
async fn the_document_reads_back_and_nothing_else_does() {
    let (_dir, source) = source(TABLE).await;
    let entry = describe(&source, "t", &Publish::Rehearsal, None)
        .await
        .expect("described");
    let written = catalogue(entry);
    let json = written.to_json();
    assert_eq!(Catalogue::from_json(&json).expect("canonical"), written);

    let refused = |text: String| Catalogue::from_json(&text).expect_err("refused");
    assert_eq!(refused(format!("{json} ")), CatalogueError::NotCanonical);
    assert_eq!(
        refused(json.replacen(':', ": ", 1)),
        CatalogueError::NotCanonical
    );
    let malformed = [
        json.replacen("\"min_cell\"", "\"min_cel\"", 1),
        json.replacen("{\"min_cell\":11", "{\"extra\":1,\"min_cell\":11", 1),
        json.replacen("{\"min_cell\":11", "{\"min_cell\":12,\"min_cell\":11", 1),
        json.replacen("hospital_1", "Hospital 1", 1),
        json[..json.len() - 1].to_owned(),
        String::new(),
    ];
    for text in malformed {
        let fault = refused(text);
        assert!(matches!(fault, CatalogueError::Malformed { .. }), "{fault}");
    }
    let invalid = [
        json.replacen("\"rows_at_most\":1024", "\"rows_at_most\":1000", 1),
        json.replacen("\"rows_at_most\":1024", "\"rows_at_most\":3", 1),
        json.replacen("\"id\"", "\"grp\"", 1),
        json.replacen("\"id\"", "\"i\\nd\"", 1),
        json.replacen("\"id\"", "\"\"", 1),
        json.replacen("null,\"g1\",\"g2\"", "\"g2\",\"g1\"", 1),
        json.replacen("\"-4\"", "\"-4e3\"", 1),
        json.replacen("\"scale\":2", "\"scale\":99", 1),
        json.replacen("\"bits\":64", "\"bits\":63", 1),
    ];
    for text in invalid {
        assert_ne!(text, json);
        let fault = refused(text);
        assert!(matches!(fault, CatalogueError::Invalid { .. }), "{fault}");
    }
    let long = json.replacen("\"g1\"", &format!("\"{}\"", "g".repeat(2000)), 1);
    assert!(matches!(
        refused(long),
        CatalogueError::TooLarge {
            what: "category",
            ..
        }
    ));
}

/// Catalogues come from other parties. Whatever a document holds, it is refused, or it is the one way to write what was read.
#[tokio::test]
async fn a_mutated_or_truncated_document_is_refused_or_read_as_itself() {
    const SEED: u64 = 0x0063_6174;
    println!("seed {SEED:#x}");
    let (_dir, source) = source(TABLE).await;
    let entry = describe(&source, "t", &Publish::Rehearsal, None)
        .await
        .expect("described");
    let json = catalogue(entry).to_json();
    for end in (0..json.len()).filter(|end| json.is_char_boundary(*end)) {
        assert!(Catalogue::from_json(&json[..end]).is_err(), "{end} bytes");
    }
    let mut rng = StdRng::seed_from_u64(SEED);
    for _ in 0..3_000 {
        let mut bytes = json.clone().into_bytes();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..bytes.len());
            match rng.random_range(0..3) {
                0 => bytes[at] ^= 1 << rng.random_range(0..7),
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, rng.random_range(0x20..0x7f)),
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(read) = Catalogue::from_json(&text) {
            assert_eq!(read.to_json(), text);
        }
    }
}
