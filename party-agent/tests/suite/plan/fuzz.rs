//! Job files and queries under seeded mutation: a fault or a plan, never a panic.

use party_agent::plan::compile;
use party_agent::spec::check;

use super::fixture::{hospitals, job, job_with};

/// xorshift64*: small, seeded, the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let scrambled = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D);
        (scrambled >> 33) as usize % n.max(1)
    }
}

const SEED: u64 = 20_261_121;

const SEEDS: [&str; 6] = [
    "SELECT diag_group, COUNT(*) AS n, AVG(time_in_hospital) AS los, STDDEV_SAMP(charges) AS sd FROM {e} e WHERE time_in_hospital >= 1 GROUP BY diag_group HAVING COUNT(*) >= 11 ORDER BY n DESC LIMIT 3",
    "WITH a AS (SELECT gender AS g, bmi AS b FROM hospital_1.encounters UNION ALL SELECT gender, weight FROM hospital_2.encounters) SELECT g, WEIGHTED_AVG(b, 1), SUM(b) FILTER (WHERE b > 2) FROM a GROUP BY 1",
    "SELECT HISTOGRAM(bmi, 10, 20, 30.5) AS h, COUNT(科室), SUM(\"Größe\") / SUM(num_medications) FROM {e} e GROUP BY h ORDER BY h",
    "SELECT CASE WHEN emergency THEN 'a' ELSE 'b' END AS x, EXTRACT(YEAR FROM admitted) AS y, VAR_POP(-num_lab_procedures * 2 + 1) FROM {e} e GROUP BY x, y",
    "SELECT m.name, COUNT(*) FROM {e} e LEFT JOIN (VALUES ('a', 'b')) AS m(code, name) ON e.diag_group = m.code GROUP BY m.name",
    "SELECT COUNT(*) FROM (SELECT w.ward FROM hospital_1.wards w JOIN hospital_1.encounters e USING (patient_id) UNION ALL SELECT ward FROM hospital_3.wards WHERE beds IN (1, 2, 3)) x",
];

const PIECES: [&str; 40] = [
    "(",
    ")",
    ",",
    " ",
    "*",
    "'",
    "\"",
    "--",
    ";",
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "UNION ALL",
    "JOIN",
    "NULL",
    "1",
    "-1",
    "1e400",
    "0",
    "99999999999999999999",
    "e.",
    "hospital_1.",
    "encounters",
    "COUNT(*)",
    "SUM(",
    "AVG(",
    "HISTOGRAM(",
    "CASE WHEN",
    "THEN",
    "END",
    "AS",
    "OVER (",
    "DISTINCT",
    "IN (SELECT",
    "\u{E000}",
    "科室",
    "LIMIT",
    "/ 0",
    "INTERVAL '1 day'",
];

fn mutate(text: &str, random: &mut Random) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..=random.below(2) {
        let at = random.below(chars.len() + 1);
        match random.below(4) {
            0 => {
                let to = (at + random.below(12)).min(chars.len());
                chars.drain(at.min(to)..to);
            }
            1 => {
                let piece = PIECES[random.below(PIECES.len())].chars();
                chars.splice(at..at, piece.chain([' ']));
            }
            2 => {
                let from = random.below(chars.len() + 1);
                let to = (from + random.below(30)).min(chars.len());
                let copy: Vec<char> = chars[from.min(to)..to].to_vec();
                chars.splice(at..at, copy);
            }
            _ => {
                if let Some(c) = chars.get_mut(at) {
                    *c = char::from(32 + random.below(95) as u8);
                }
            }
        }
    }
    chars.into_iter().collect()
}

/// Plans or refuses; what it plans is described.
fn survives(text: &str) -> bool {
    let Ok(spec) = check(text) else {
        return false;
    };
    match compile(&spec, &hospitals()) {
        Ok(plan) => {
            assert!(plan.explain().contains(&plan.digest().to_string()));
            true
        }
        Err(faults) => {
            assert!(!faults.is_empty(), "refused without a reason: {text}");
            assert!(
                faults
                    .iter()
                    .all(|f| !f.what.is_empty() && !f.fix.is_empty()),
                "{faults:?}"
            );
            false
        }
    }
}

#[test]
fn mutated_queries_are_planned_or_refused() {
    println!("seed {SEED}");
    let mut random = Random(SEED);
    let mut planned = 0;
    for round in 0..1500 {
        let sql = mutate(SEEDS[round % SEEDS.len()], &mut random);
        // The job file quotes with three apostrophes.
        if !sql.contains("'''") {
            planned += usize::from(survives(&job(&sql)));
        }
    }
    assert!(
        planned > 50,
        "only {planned} mutants were planned: the others test nothing but the parser"
    );
}

#[test]
fn mutated_job_files_are_read_or_refused() {
    println!("seed {SEED}");
    let mut random = Random(SEED);
    let privacy = "correlations = \"dealer:notary\"\nmin_cell = 11\njoin = \"size\"\n[limits]\nmax_wall = \"2h\"\n";
    let text = job_with(SEEDS[0], "diag_group = [\"a\", 2, true]", privacy);
    for _ in 0..4000 {
        let mutant = mutate(&text, &mut random);
        if let Err(faults) = check(&mutant) {
            assert!(!faults.is_empty());
            let lines = mutant.lines().count() + 1;
            assert!(
                faults.iter().all(|f| (1..=lines).contains(&f.line)),
                "{faults:?}"
            );
        }
    }
}

#[test]
fn deep_and_long_queries_are_refused_or_planned() {
    let repeat = |piece: &str, n: usize| vec![piece; n].join("");
    let mut outcomes = Vec::new();
    for n in [10, 100, 5000] {
        let chain = format!(
            "SELECT SUM(time_in_hospital{}) FROM {{e}} e",
            repeat(" + 1", n)
        );
        let or = format!(
            "SELECT COUNT(*) FROM {{e}} e WHERE bmi = 1{}",
            repeat(" OR bmi = 2", n)
        );
        let nested = format!(
            "SELECT SUM({}1{}) FROM {{e}} e",
            repeat("(", n),
            repeat(")", n)
        );
        let queries = format!(
            "SELECT COUNT(*) FROM {}{{e}} e{}",
            repeat("(SELECT * FROM ", n),
            repeat(") e", n)
        );
        outcomes.push([chain, or, nested, queries].map(|sql| survives(&job(&sql))));
    }
    assert_eq!(outcomes[0], [true; 4]);
    assert_eq!(outcomes[1][..2], [true; 2]);
    assert_eq!(outcomes[2], [false; 4]);
    let doubling = |n: usize| {
        let names = (1..n).map(|i| {
            format!(
                ", t{i} AS (SELECT a.* FROM t{0} a JOIN t{0} b ON a.patient_id = b.patient_id)",
                i - 1
            )
        });
        format!(
            "WITH t0 AS (SELECT patient_id FROM hospital_1.encounters){} SELECT COUNT(*) FROM (SELECT patient_id FROM t{} UNION ALL SELECT patient_id FROM hospital_2.encounters) x",
            names.collect::<String>(),
            n - 1
        )
    };
    assert!(survives(&job(&doubling(2))));
    assert!(!survives(&job(&doubling(40))));
}
