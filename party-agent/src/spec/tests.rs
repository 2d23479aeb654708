use super::*;

const GOOD: &str = r#"
job       = "los-by-diagnosis"
purpose   = "IRB 2026-117: length of stay"
receivers = ["hospital_2", "hospital_1"]
[compute]
sql = """
SELECT COUNT(*) FROM hospital_1.encounters
"""
[compute.domain]
diag_group = ["circulatory", "诊断", 3, true, 2026-11-21]
[privacy]
min_cell     = 11
correlations = "dealer:notary"
join         = "hidden"
[limits]
max_wall = "30m"
"#;

#[test]
fn reads_every_field() {
    let spec = check(GOOD).expect("a good job file");
    assert_eq!(spec.job, "los-by-diagnosis");
    let receivers: Vec<&str> = spec.receivers.iter().map(PartyId::as_str).collect();
    assert_eq!(receivers, ["hospital_1", "hospital_2"]);
    assert_eq!(spec.min_cell, Some(11));
    assert_eq!(
        spec.correlations.as_ref().map(ToString::to_string),
        Some("dealer:notary".into())
    );
    assert_eq!(spec.join, Some(JoinLevel::Hidden));
    assert_eq!(spec.max_wall_s, Some(1800));
    let Compute::Sql(sql) = &spec.compute else {
        panic!("a query");
    };
    assert_eq!(sql.line, 7);
    assert_eq!(
        sql.domains["diag_group"],
        ["circulatory", "诊断", "3", "true", "2026-11-21"]
    );
}

#[test]
fn a_declared_link_says_how_oblivious_transfer_is_extended() {
    let ot = GOOD.replace("\"dealer:notary\"", "\"ot\"");
    let link = |link: &str| ot.replace("[limits]", &format!("link = \"{link}\"\n[limits]"));
    for (text, expected) in [
        (&ot, Correlations::Ot),
        (&link("fast"), Correlations::Ot),
        (&link("slow"), Correlations::FerretOt),
    ] {
        let spec = check(text).expect("a good job file");
        assert_eq!(spec.correlations, Some(expected));
    }
    assert_eq!(
        faults(&link("slwo")),
        [
            "line 15, privacy.link: \"slwo\" is not a link; did you mean slow?; allowed: \"fast\" (half a gigabit a second and more, the default) or \"slow\""
        ]
    );
    let dealt = GOOD.replace("[limits]", "link = \"slow\"\n[limits]");
    assert_eq!(
        faults(&dealt),
        [
            "line 15, privacy.link: says how oblivious transfer is extended, and this job names no \"ot\"; allowed: leave it out"
        ]
    );
}

fn faults(text: &str) -> Vec<String> {
    check(text)
        .expect_err("a bad job file")
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn reports_all_faults_at_once_with_lines_and_fields() {
    let text = "job = \"\"\npurpsoe = \"x\"\nreceivers = [\"Hospital 1\"]\n[compute]\nscore = {}\n[privacy]\nmin_cell = 10.5\ncorrelations = \"OT\"\n[limits]\nmax_wall = \"soon\"\n";
    assert_eq!(
        faults(text),
        [
            "line 1, job: is empty; allowed: 1 to 128 characters of text",
            "line 1, purpose: this field is missing; allowed: 1 to 2000 characters of text",
            "line 2, purpsoe: unknown field; did you mean purpose?; allowed: known here: job, purpose, receivers, compute, privacy, settlement, limits, release",
            "line 3, receivers: \"Hospital 1\" cannot be a party; allowed: a party's name: 1 to 32 of a-z, 0-9 and _",
            "line 5, compute.score.model: this field is missing; allowed: the model's id, of 64 digits and letters from a to f, as it stands in every part of it",
            "line 5, compute.score.key: this field is missing; allowed: the name of the key's column in these tables, or a list of names",
            "line 5, compute.score.rows: this field is missing; allowed: \"party.table\" of the party that gets the scores",
            "line 5, compute.score.features: this field is missing; allowed: a list of \"party.table.column\": the features of the model",
            "line 7, privacy.min_cell: a number with a point is not allowed here; allowed: a whole number from 0 to 4294967295",
            "line 8, privacy.correlations: \"OT\" is not a source; did you mean ot?; allowed: \"ot\" or \"dealer:NAME\"; there is no default",
            "line 10, limits.max_wall: \"soon\" cannot be read; allowed: a time such as \"90s\", \"30m\" or \"2h\", at most \"168h\"",
        ]
    );
}

#[test]
fn wants_exactly_one_computation() {
    let head = "job = \"a\"\npurpose = \"b\"\nreceivers = [\"c\"]\n";
    let two = faults(&format!(
        "{head}[compute]\nsql = \"SELECT 1\"\nscore = {{}}\n"
    ));
    assert_eq!(
        two,
        [
            "line 4, compute: names 2 computations: sql, score; allowed: exactly one of sql, intersect, train, score, lookup",
        ]
    );
    let none = faults(&format!("{head}[compute]\n"));
    assert_eq!(none.len(), 1, "{none:?}");
    assert_eq!(
        faults(head),
        ["line 1, compute: this field is missing; allowed: a table [compute]"]
    );
    assert_eq!(
        faults(&format!("{head}compute = 3\n")),
        ["line 4, compute: a whole number is not allowed here; allowed: a table"]
    );
    let later = faults(&format!(
        "{head}[compute]\nsql = \"SELECT 1\"\n[release]\nrounding = 5\n"
    ));
    assert_eq!(
        later,
        ["line 6, release: not available in this version; allowed: leave it out"]
    );
}

#[test]
fn syntax_faults_have_lines() {
    let found = faults("job = \"a\"\npurpose = \"b\nreceivers = [\"c\"]\n");
    assert!(found[0].starts_with("line 2: "), "{found:?}");
}

#[test]
fn a_dealer_cannot_receive() {
    let found = faults(&GOOD.replace("dealer:notary", "dealer:hospital_1"));
    assert_eq!(
        found,
        [
            "line 13, privacy.correlations: the dealer hospital_1 is a receiver too and would learn every input; allowed: a dealer that neither holds data nor gets the result"
        ]
    );
}

#[test]
fn domains_are_lists_of_distinct_values() {
    let found = faults(&GOOD.replace("true, 2026-11-21", "3, 1.5"));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("lists \"3\" twice"), "{found:?}");
    assert!(
        found[1].contains("a number with a point is not allowed here"),
        "{found:?}"
    );
    let empty = GOOD.replace("[\"circulatory\", \"诊断\", 3, true, 2026-11-21]", "[]");
    assert_eq!(
        faults(&empty),
        ["line 10, compute.domain.diag_group: has 0 values; allowed: 1 to 65536"]
    );
}

#[test]
fn an_oversize_file_is_refused_before_it_is_read() {
    let found = faults(&" ".repeat(MAX_SPEC_BYTES + 1));
    assert_eq!(
        found,
        ["line 1: the file has 1048577 bytes; allowed: at most 1048576"]
    );
}

/// Every field of a job is in its digest, the place of the query in the file is not.
#[test]
fn the_digest_covers_every_field() {
    let digest = |text: &str| check(text).expect("a good job file").digest();
    let plain = digest(GOOD);
    assert_eq!(digest(&format!("# a comment\n\n{GOOD}")), plain);
    let changes = [
        ("los-by-diagnosis", "los"),
        ("length of stay", "stays"),
        ("\"hospital_2\", ", ""),
        ("COUNT(*)", "COUNT(1)"),
        ("\"circulatory\", ", ""),
        ("diag_group =", "diag ="),
        ("= 11", "= 12"),
        ("dealer:notary", "ot"),
        ("hidden", "size"),
        ("30m", "31m"),
    ];
    let mut digests: Vec<_> = changes
        .iter()
        .map(|(from, to)| {
            assert!(GOOD.contains(from), "{from}");
            digest(&GOOD.replacen(from, to, 1))
        })
        .collect();
    digests.push(plain);
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), changes.len() + 1);
}
