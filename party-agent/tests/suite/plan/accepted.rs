//! Queries that are planned: what one holder runs, and what the receivers run.

use super::fixture::{hospitals, job, local, plan, planned};

struct Case {
    sql: &'static str,
    /// What hospital_2 runs.
    local: &'static str,
    /// What the receivers run.
    last: &'static str,
}

const E: &str = "(SELECT * FROM hospital_2.encounters) e";

const CASES: [Case; 26] = [
    Case {
        sql: "SELECT COUNT(*) FROM {e} e",
        local: "SELECT 1 AS a0 FROM {e}",
        last: "SELECT released.n AS \"COUNT(*)\" FROM released",
    },
    Case {
        sql: "SELECT COUNT(1) AS n, COUNT(note) AS notes, SUM(charges) AS c, AVG(weight) w, VAR_SAMP(bmi) v FROM {e} e;",
        local: "SELECT note AS a0, charges AS a1, weight AS a2, bmi AS a3 FROM {e}",
        last: "SELECT released.n AS n, released.n0 AS notes, released.s1 AS c, released.avg2 AS w, released.var_samp3 AS v FROM released",
    },
    Case {
        sql: "SELECT VAR(bmi), VAR_POP(bmi), STDDEV(bmi), STDDEV_SAMP(bmi), STDDEV_POP(bmi), MEAN(bmi) FROM {e} e",
        local: "SELECT bmi AS a0 FROM {e}",
        last: "SELECT released.var_samp0 AS \"VAR(bmi)\", released.var_pop0 AS \"VAR_POP(bmi)\", released.stddev_samp0 AS \"STDDEV(bmi)\", released.stddev_samp0 AS \"STDDEV_SAMP(bmi)\", released.stddev_pop0 AS \"STDDEV_POP(bmi)\", released.avg0 AS \"MEAN(bmi)\" FROM released",
    },
    Case {
        sql: "select Diag_Group, count(*) from {e} as E group by DIAG_GROUP order by 2 desc, 1 limit 3",
        local: "SELECT diag_group AS k0 FROM (SELECT * FROM hospital_2.encounters) AS \"E\"",
        last: "SELECT released.k0 AS \"Diag_Group\", released.n AS \"count(*)\" FROM released ORDER BY released.n DESC NULLS LAST, released.k0 ASC NULLS LAST, released.o0 ASC NULLS LAST LIMIT 3",
    },
    Case {
        sql: "SELECT e.gender AS g, COUNT(*) n FROM {e} e GROUP BY gender ORDER BY n DESC NULLS FIRST, g LIMIT 2 OFFSET 1",
        local: "SELECT gender AS k0 FROM {e}",
        last: "SELECT released.k0 AS g, released.n AS n FROM released ORDER BY released.n DESC NULLS FIRST, released.k0 ASC NULLS LAST, released.o0 ASC NULLS LAST LIMIT 2 OFFSET 1",
    },
    Case {
        sql: "SELECT HISTOGRAM(bmi, 10, 20.5, 30) AS b, COUNT(*) AS n FROM {e} e GROUP BY b ORDER BY b DESC",
        local: "SELECT CASE WHEN bmi < 10 THEN 'below' WHEN bmi < 20.5 THEN '[10, 20.5)' WHEN bmi <= 30 THEN '[20.5, 30]' WHEN bmi > 30 THEN 'above' END AS k0 FROM {e}",
        last: "SELECT released.k0 AS b, released.n AS n FROM released ORDER BY CASE WHEN released.k0 IS NOT NULL THEN released.o0 END DESC NULLS LAST, released.o0 ASC NULLS LAST",
    },
    Case {
        sql: "SELECT WEIGHTED_AVG(time_in_hospital, num_medications) AS m, SUM(num_medications) / SUM(time_in_hospital) AS r FROM {e} e",
        local: "SELECT time_in_hospital * num_medications AS a0, CASE WHEN time_in_hospital IS NOT NULL THEN num_medications END AS a1, num_medications AS a2, time_in_hospital AS a3 FROM {e}",
        last: "SELECT CAST(released.s0 AS DOUBLE) / nullif(CAST(released.s1 AS DOUBLE), 0) AS m, CAST(released.s2 AS DOUBLE) / nullif(CAST(released.s3 AS DOUBLE), 0) AS r FROM released",
    },
    Case {
        sql: "SELECT 100 * SUM(num_medications) + 1 AS x, SUM(charges) - 2 AS c, COUNT(*) % 7 AS m FROM {e} e ORDER BY x + m",
        local: "SELECT num_medications AS a0, charges AS a1 FROM {e}",
        last: "SELECT 100 * CAST(released.s0 AS DECIMAL(38,0)) + 1 AS x, CAST(released.s1 AS DECIMAL(38,2)) - 2 AS c, released.n % nullif(7, 0) AS m FROM released ORDER BY (100 * CAST(released.s0 AS DECIMAL(38,0)) + 1) + (released.n % nullif(7, 0)) ASC NULLS LAST",
    },
    Case {
        sql: "SELECT COUNT(*) FILTER (WHERE emergency) AS em, SUM(charges) FILTER (WHERE gender = 'F') AS f FROM {e} e",
        local: "SELECT CASE WHEN emergency THEN 1 END AS a0, CASE WHEN gender = 'F' THEN charges END AS a1 FROM {e}",
        last: "SELECT released.n0 AS em, released.s1 AS f FROM released",
    },
    Case {
        sql: "SELECT EXTRACT(YEAR FROM admitted) AS year, emergency, COUNT(*) AS n FROM {e} e GROUP BY year, 2",
        local: "SELECT CAST(EXTRACT(YEAR FROM admitted) AS VARCHAR) AS k0, CAST(emergency AS VARCHAR) AS k1 FROM {e}",
        last: "SELECT released.k0 AS \"year\", released.k1 AS emergency, released.n AS n FROM released ORDER BY released.o0 ASC NULLS LAST, released.o1 ASC NULLS LAST",
    },
    Case {
        sql: "SELECT COALESCE(科室, '无') AS ward, SUM(größe) AS cm, COUNT(\"Größe\") AS n FROM {e} e WHERE \"科室\" <> '外科' GROUP BY ward",
        local: "SELECT coalesce(\"科室\", '无') AS k0, \"Größe\" AS a0 FROM {e} WHERE \"科室\" <> '外科'",
        last: "SELECT released.k0 AS ward, released.s0 AS cm, released.n0 AS n FROM released ORDER BY released.o0 ASC NULLS LAST",
    },
    Case {
        sql: "WITH a AS (SELECT * FROM hospital_1.encounters WHERE emergency), b AS (SELECT * FROM hospital_2.encounters), u AS (SELECT * FROM a UNION ALL SELECT * FROM b) SELECT gender, AVG(time_in_hospital) AS los FROM u GROUP BY gender",
        local: "SELECT gender AS k0, time_in_hospital AS a0 FROM (SELECT * FROM (SELECT * FROM hospital_2.encounters) AS b) AS u",
        last: "SELECT released.k0 AS gender, released.avg0 AS los FROM released ORDER BY released.o0 ASC NULLS LAST",
    },
    Case {
        sql: "WITH u(g, t) AS (SELECT gender, time_in_hospital FROM hospital_1.encounters UNION ALL SELECT gender, beds FROM (SELECT 'F' AS gender, beds FROM hospital_2.wards) w) SELECT x.g, SUM(x.t) AS t FROM u AS x GROUP BY x.g",
        local: "SELECT x.g AS k0, x.t AS a0 FROM (SELECT gender, beds AS time_in_hospital FROM (SELECT 'F' AS gender, beds FROM hospital_2.wards) w) AS x (g, t)",
        last: "SELECT released.k0 AS g, released.s0 AS t FROM released ORDER BY released.o0 ASC NULLS LAST",
    },
    Case {
        sql: "SELECT ward, SUM(stays) AS s FROM (SELECT w.ward, t.stays FROM hospital_1.wards w JOIN (SELECT patient_id, COUNT(*) AS stays FROM hospital_1.encounters GROUP BY patient_id) t USING (PATIENT_ID) UNION ALL SELECT ward, beds FROM hospital_2.wards) x GROUP BY ward",
        local: "SELECT ward AS k0, stays AS a0 FROM (SELECT ward, beds AS stays FROM hospital_2.wards) x",
        last: "SELECT released.k0 AS ward, released.s0 AS s FROM released ORDER BY released.o0 ASC NULLS LAST",
    },
    Case {
        sql: "SELECT ward, SUM(stays) AS s FROM (SELECT ward, beds AS stays FROM hospital_1.wards UNION ALL SELECT w.ward, t.stays FROM hospital_2.wards w JOIN (SELECT patient_id, COUNT(*) AS stays FROM hospital_2.encounters GROUP BY patient_id) t USING (PATIENT_ID)) x GROUP BY ward",
        local: "SELECT ward AS k0, stays AS a0 FROM (SELECT w.ward, t.stays FROM hospital_2.wards w JOIN (SELECT patient_id, count(*) AS stays FROM hospital_2.encounters GROUP BY patient_id) t USING(patient_id)) x",
        last: "SELECT released.k0 AS ward, released.s0 AS s FROM released ORDER BY released.o0 ASC NULLS LAST",
    },
    Case {
        sql: "SELECT grp, COUNT(*) AS n FROM (SELECT 'one' AS grp, time_in_hospital AS t FROM hospital_1.encounters UNION ALL SELECT 'two', num_medications FROM hospital_2.encounters) x WHERE t > 3 GROUP BY grp",
        local: "SELECT grp AS k0 FROM (SELECT 'two' AS grp, num_medications AS t FROM hospital_2.encounters) x WHERE t > 3",
        last: "SELECT released.k0 AS grp, released.n AS n FROM released ORDER BY released.o0 ASC NULLS LAST",
    },
    Case {
        sql: "SELECT grp, COUNT(*) AS n FROM (SELECT gender AS grp FROM hospital_1.encounters UNION ALL (SELECT ward FROM hospital_2.wards GROUP BY ward ORDER BY ward LIMIT 1) UNION ALL SELECT ward FROM hospital_2.wards) x GROUP BY grp",
        local: "SELECT grp AS k0 FROM (SELECT * FROM ((SELECT ward FROM hospital_2.wards GROUP BY ward ORDER BY ward LIMIT 1)) AS renamed (grp) UNION ALL SELECT ward AS grp FROM hospital_2.wards) x",
        last: "SELECT released.k0 AS grp, released.n AS n FROM released ORDER BY released.o0 ASC NULLS LAST",
    },
    Case {
        sql: "SELECT m.name, COUNT(*) AS n FROM {e} e JOIN (VALUES ('circulatory', 'heart'), ('digestive', 'gut')) AS m(code, name) ON e.diag_group = m.code GROUP BY m.name",
        local: "SELECT m.\"name\" AS k0 FROM {e} JOIN (VALUES ('circulatory', 'heart'), ('digestive', 'gut')) AS m (code, \"name\") ON e.diag_group = m.code",
        last: "SELECT released.k0 AS \"name\", released.n AS n FROM released ORDER BY released.o0 ASC NULLS LAST",
    },
    Case {
        sql: "SELECT AVG(los) AS l FROM (SELECT time_in_hospital AS los, ROW_NUMBER() OVER (PARTITION BY patient_id ORDER BY admitted) AS k FROM hospital_1.encounters UNION ALL SELECT time_in_hospital, ROW_NUMBER() OVER (PARTITION BY patient_id ORDER BY admitted) FROM hospital_2.encounters) t WHERE k = 1",
        local: "SELECT los AS a0 FROM (SELECT time_in_hospital AS los, row_number() OVER (PARTITION BY patient_id ORDER BY admitted) AS k FROM hospital_2.encounters) t WHERE k = 1",
        last: "SELECT released.avg0 AS l FROM released",
    },
    Case {
        sql: "SELECT diag_group, ROUND(AVG(charges), 2) AS c, CASE WHEN COUNT(*) > 100 THEN 'many' ELSE 'few' END AS size FROM {e} e GROUP BY ALL ORDER BY SUM(charges) DESC",
        local: "SELECT diag_group AS k0, charges AS a0 FROM {e}",
        last: "SELECT released.k0 AS diag_group, ROUND(released.avg0, 2) AS c, CASE WHEN released.n > 100 THEN 'many' ELSE 'few' END AS \"size\" FROM released ORDER BY released.s0 DESC NULLS LAST, released.o0 ASC NULLS LAST",
    },
    Case {
        sql: "SELECT UPPER(diag_group) AS diag_group, COUNT(*) AS n, COUNT(*) AS n FROM {e} e GROUP BY diag_group",
        local: "SELECT diag_group AS k0 FROM {e}",
        last: "SELECT UPPER(released.k0) AS diag_group, released.n AS n, released.n AS n_2 FROM released ORDER BY released.o0 ASC NULLS LAST",
    },
    Case {
        sql: "SELECT (num_medications + 1) * 2 > 20 AS much, COUNT(*) AS n FROM {e} e GROUP BY (num_medications + 1) * 2 > 20",
        local: "SELECT CAST((num_medications + 1) * 2 > 20 AS VARCHAR) AS k0 FROM {e}",
        last: "SELECT released.k0 AS much, released.n AS n FROM released ORDER BY released.o0 ASC NULLS LAST",
    },
    Case {
        sql: "SELECT gender FROM {e} e WHERE patient_id LIKE '00%' AND admitted BETWEEN DATE '2020-01-01' AND DATE '2020-12-31' AND diag_group IN ('diabetes', 'other') AND note IS NOT NULL GROUP BY gender",
        local: "SELECT gender AS k0 FROM {e} WHERE patient_id LIKE '00%' AND admitted BETWEEN DATE '2020-01-01' AND DATE '2020-12-31' AND diag_group IN ('diabetes', 'other') AND note IS NOT NULL",
        last: "SELECT released.k0 AS gender FROM released ORDER BY released.o0 ASC NULLS LAST",
    },
    Case {
        sql: "SELECT CAST(num_medications AS DECIMAL(5, 1)) AS m, COUNT(*) AS n FROM {e} e GROUP BY 1",
        local: "SELECT CAST(CAST(CAST(num_medications AS DECIMAL(5,1)) AS DECIMAL(38,1)) AS VARCHAR) AS k0 FROM {e}",
        last: "SELECT released.k0 AS m, released.n AS n FROM released ORDER BY released.o0 ASC NULLS LAST",
    },
    Case {
        sql: "(SELECT COUNT(*) AS n FROM {e} e)",
        local: "SELECT 1 AS a0 FROM {e}",
        last: "SELECT released.n AS n FROM released",
    },
    Case {
        sql: "SELECT COUNT(*) AS n FROM (SELECT * FROM {e} x WHERE bmi > 20) e WHERE weight < 100 FETCH FIRST 3 ROWS ONLY",
        local: "SELECT 1 AS a0 FROM (SELECT * FROM (SELECT * FROM hospital_2.encounters) x WHERE bmi > 20) e WHERE weight < 100",
        last: "SELECT released.n AS n FROM released LIMIT 3",
    },
];

#[test]
fn queries_are_split_as_expected() {
    let mut wrong = Vec::new();
    for case in &CASES {
        let plan = planned(case.sql);
        let pairs = [
            (local(&plan, "hospital_2"), case.local.replace("{e}", E)),
            (plan.final_sql.clone(), case.last.to_owned()),
        ];
        for (found, expected) in pairs {
            if found != expected {
                wrong.push(format!(
                    "{}\n  found    {found}\n  expected {expected}",
                    case.sql
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn having_and_minimum_become_checks() {
    let checks = |sql: &str| {
        let plan = planned(sql);
        let checks = plan.shape.checks.iter();
        checks
            .map(|c| (c.rule.clone(), c.reason.clone(), c.bound_bits))
            .collect::<Vec<_>>()
    };
    let check = |rule: &str, reason: &str, bits| (rule.to_owned(), reason.to_owned(), bits);
    assert_eq!(
        checks("SELECT COUNT(*) FROM {e} e"),
        [check("COUNT(*) >= 11", "min_cell", 18)]
    );
    let both = "min_cell and having";
    assert_eq!(
        checks(
            "SELECT gender FROM {e} e GROUP BY gender HAVING COUNT(*) > 20 AND 5 <= COUNT(num_medications)"
        ),
        [
            check("COUNT(*) >= 21", both, 18),
            check("COUNT(num_medications) >= 5", "having", 18)
        ]
    );
    assert_eq!(
        checks(
            "SELECT gender, COUNT(*) AS n FROM {e} e GROUP BY gender HAVING (n >= 3) AND COUNT(time_in_hospital) >= 4"
        ),
        [check("COUNT(*) >= 11", both, 18)],
        "a column without NULL counts rows; the larger threshold wins"
    );
    // Below the quantile, or above it, are as many rows as in the smallest group.
    let quantiles = "MEDIAN(num_medications), PERCENTILE_DISC(0.97) WITHIN GROUP (ORDER BY num_medications), PERCENTILE_CONT(0.25) WITHIN GROUP (ORDER BY time_in_hospital)";
    let of_quantiles = [
        check("COUNT(*) >= 44", "min_cell", 18),
        check("COUNT(num_medications) >= 367", "min_cell", 18),
    ];
    assert_eq!(
        checks(&format!("SELECT {quantiles} FROM {{e}} e")),
        of_quantiles
    );
    let joined = checks(
        "SELECT PERCENTILE_CONT(0.05) WITHIN GROUP (ORDER BY a.time_in_hospital) FROM hospital_1.encounters a JOIN hospital_2.encounters b ON a.patient_id = b.patient_id",
    );
    let rules: Vec<&str> = joined.iter().map(|c| c.0.as_str()).collect();
    assert_eq!(
        rules,
        [
            "COUNT(a.time_in_hospital) >= 220",
            "COUNT(DISTINCT a.patient_id) >= 11"
        ]
    );
    assert_eq!(
        checks("SELECT COUNT(*) AS n FROM {e} e HAVING COUNT(*) >= 1000000"),
        [check("COUNT(*) >= 1000000", both, 20)],
        "the bound holds the threshold too"
    );
}

/// What HAVING says of totals is decided on shares where it is linear in them; the rest is left to the receivers, and the plan says
/// that.
#[test]
fn what_receivers_decide_of_having_is_said() {
    let is_said = |sql: &str| {
        let found = planned(sql);
        let said = found.warnings.iter().any(|w| w.contains("HAVING"));
        (said, found.shape.checks.len(), found.final_sql)
    };
    let grouped = "SELECT gender, COUNT(*) AS n FROM {e} e GROUP BY gender";
    let (said, n_checks, sql) = is_said(&format!("{grouped} HAVING COUNT(num_medications) >= 20"));
    assert!(!said && !sql.contains("WHERE"), "{sql}");
    assert_eq!(n_checks, 2, "a count is compared on shares");
    for condition in [
        "SUM(time_in_hospital) > 500",
        "COUNT(*) < 500",
        "AVG(time_in_hospital) >= 4.5",
    ] {
        let (said, n_checks, sql) = is_said(&format!("{grouped} HAVING {condition}"));
        assert!(!said && sql.contains(" WHERE "), "{condition}: {sql}");
        assert_eq!(n_checks, 2, "{condition}: it is compared on shares");
    }
    for condition in [
        "COUNT(*) > 500 OR COUNT(*) < 50",
        "gender = 'Female' OR AVG(time_in_hospital) > 4",
        "MAX(time_in_hospital) > 4",
        "STDDEV_SAMP(time_in_hospital) > 4",
    ] {
        let (said, n_checks, sql) = is_said(&format!("{grouped} HAVING {condition}"));
        assert!(said && sql.contains(" WHERE "), "{condition}: {sql}");
        assert_eq!(
            n_checks, 1,
            "{condition}: the minimum is compared all the same"
        );
    }
    let first = "ORDER BY n DESC LIMIT 1";
    let cut = |condition: &str| planned(&format!("{grouped} {condition} {first}")).shape.top;
    assert!(cut("").is_some());
    assert!(
        cut("HAVING SUM(time_in_hospital) > 500").is_none(),
        "the limit comes after it"
    );
}

#[test]
fn the_strictest_minimum_wins() {
    let mut catalogues = hospitals();
    let strict = catalogues.get_mut(&super::fixture::party("hospital_3"));
    strict.expect("it is there").min_cell = 20;
    let found = plan(&job("SELECT COUNT(*) FROM {e} e"), &catalogues);
    assert_eq!(
        (found.min_cell.at_least, found.min_cell.set_by),
        (20, vec!["hospital_3".to_owned()])
    );
    let equal = planned("SELECT COUNT(*) FROM {e} e");
    assert_eq!(
        (equal.min_cell.at_least, equal.min_cell.set_by),
        (11, vec!["the job".to_owned()])
    );
    // A holder that is not in the query has no say.
    let two = "SELECT COUNT(*) FROM (SELECT * FROM hospital_1.wards UNION ALL SELECT * FROM hospital_2.wards) w";
    assert_eq!(plan(&job(two), &catalogues).min_cell.at_least, 11);
}
