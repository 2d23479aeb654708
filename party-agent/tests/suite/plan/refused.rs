//! Queries that cannot be planned: each with what, where and what to do.

use super::fixture::{faults, hospitals, job, job_with, try_plan};

/// A query and how its first fault begins (most are written out in full).
const REFUSED: &[(&str, &str)] = &[
    // What is no query, or not one.
    (
        "SELEC COUNT(*) FROM {e} e",
        "compute.sql, line 6: the query cannot be read: Expected: an SQL statement, found: SELEC; correct the SQL",
    ),
    (
        "SELECT COUNT(* FROM {e} e",
        "compute.sql, line 6: the query cannot be read: Expected: ",
    ),
    (
        "SELECT 'open",
        "compute.sql, line 6: the query cannot be read: Unterminated string literal",
    ),
    (
        "SELECT COUNT(*) FROM {e} e; SELECT 1",
        "compute.sql: there is more than one statement; write one SELECT",
    ),
    (
        "DELETE FROM hospital_1.encounters",
        "compute.sql: the query is not a SELECT; write one SELECT",
    ),
    (
        "-- nothing",
        "compute.sql: the query is empty; write one SELECT",
    ),
    (
        "SELECT COUNT(*) AS n INTO x FROM {e} e",
        "compute.sql, line 6: SELECT … INTO cannot be used in a job; leave it out",
    ),
    (
        "SELECT COUNT(*) FROM {e} e FOR UPDATE",
        "compute.sql, line 6: FOR … cannot be used in a job; leave it out",
    ),
    (
        "SELECT COUNT(*) FROM GENERATE_SERIES(1, 10) g",
        "compute.sql, line 6: a table function (anything in FROM but tables and subqueries) cannot be used in a job; leave it out",
    ),
    (
        "WITH RECURSIVE t AS (SELECT 1) SELECT COUNT(*) FROM {e} e",
        "compute.sql, line 6: WITH RECURSIVE cannot be used in a job; write the steps out, or prepare them in a table at the holder",
    ),
    (
        "SELECT \u{E000}n FROM {e} e",
        "compute.sql: the query holds a character of a private-use area, U+E000; leave it out",
    ),
    // Statistics stand alone.
    (
        "SELECT T_TEST(bmi, gender), COUNT(*) FROM {e} e",
        "compute.sql, line 6: T_TEST stands beside other outputs; let it stand alone in the SELECT list, and ask for other figures in a job of their own",
    ),
    (
        "SELECT 1 + T_TEST(bmi, gender) FROM {e} e",
        "compute.sql, line 6: T_TEST is no part of another expression; let it stand alone in the outermost SELECT list, as in SELECT T_TEST(x, g) FROM …",
    ),
    (
        "SELECT T_TEST(bmi) FROM {e} e",
        "compute.sql, line 6: T_TEST of 1 argument; write T_TEST(x, g) with a number and a column of two groups",
    ),
    (
        "SELECT ANOVA(bmi, gender) FROM {e} e GROUP BY gender",
        "compute.sql, line 6: ANOVA with GROUP BY is not available in this version; name the groups as its last argument, and write one job for each stratum, with WHERE",
    ),
    (
        "SELECT CHI_SQUARE(gender, diag_group) FROM {e} e ORDER BY 1",
        "compute.sql, line 6: CHI_SQUARE with ORDER BY or LIMIT is not available in this version; leave them out: rows come in the order of the groups",
    ),
    (
        "SELECT T_TEST(bmi, gender) FILTER (WHERE emergency) FROM {e} e",
        "compute.sql, line 6: T_TEST with FILTER is not available in this version; write the condition in WHERE",
    ),
    (
        "SELECT CHI_SQUARE(gender, gender) FROM {e} e",
        "compute.sql, line 6: two columns of CHI_SQUARE are the same; name each column once",
    ),
    (
        "SELECT KAPLAN_MEIER(time_in_hospital, emergency, 10, 5) FROM {e} e",
        "compute.sql, line 6: the times of KAPLAN_MEIER are not ascending whole numbers up to 65536; write them out, as in KAPLAN_MEIER(time, event, 365, 730)",
    ),
    // Whose tables.
    (
        "SELECT 1",
        "compute.sql: the query names no holder's table; name tables of at least two holders, joined by UNION ALL",
    ),
    (
        "SELECT COUNT(*) FROM hospital_1.encounters",
        "compute.sql: the query names tables of hospital_1 alone: the result would be that holder's own figures; name tables of at least two holders, joined by UNION ALL",
    ),
    (
        "SELECT COUNT(*) FROM encounters",
        "compute.sql, line 6: encounters does not say whose table it is; write hospital_1.encounters or hospital_2.encounters or hospital_3.encounters",
    ),
    (
        "SELECT COUNT(*) FROM visits",
        "compute.sql, line 6: visits does not say whose table it is; name tables as party.table, of hospital_1, hospital_2, hospital_3",
    ),
    (
        "SELECT COUNT(*) FROM a.b.c",
        "compute.sql, line 6: a.b.c is not the name of a table; name tables as party.table",
    ),
    (
        "SELECT COUNT(*) FROM (SELECT * FROM hospital_1.encounter UNION ALL SELECT * FROM hospital_2.encounters) e",
        "compute.sql, line 6: hospital_1 publishes no table encounter; did you mean encounters?; it publishes encounters, wards",
    ),
    (
        "SELECT COUNT(*) FROM (SELECT * FROM hospitl_2.wards UNION ALL SELECT * FROM hospital_2.wards) e",
        "compute.sql, line 6: there is no party hospitl_2; did you mean hospital_2 or hospital_1 or hospital_3?; name one of hospital_1, hospital_2, hospital_3",
    ),
    (
        "SELECT COUNT(*) FROM (SELECT * FROM analyst.t UNION ALL SELECT * FROM hospital_2.wards) e",
        "compute.sql, line 6: analyst publishes no table t; analyst publishes no tables at all; ask it to publish one",
    ),
    // Rows instead of aggregates.
    (
        "SELECT * FROM {e} e",
        "compute.sql, line 6: the job would release rows: a SELECT over several holders releases aggregates only in this version; aggregate with COUNT, SUM, AVG … and GROUP BY",
    ),
    (
        "SELECT diag_group FROM {e} e",
        "compute.sql, line 6: the job would release rows: a SELECT over several holders releases aggregates only in this version; aggregate with COUNT, SUM, AVG … and GROUP BY",
    ),
    (
        "SELECT DISTINCT * FROM {e} e",
        "compute.sql, line 6: SELECT DISTINCT * over several holders would need to compare their rows; name the columns, which are groups then",
    ),
    (
        "SELECT DISTINCT diag_group FROM {e} e GROUP BY diag_group, gender",
        "compute.sql, line 6: SELECT DISTINCT of groups, of which not every key is an output; name every key of GROUP BY",
    ),
    (
        "SELECT COUNT(*) FROM {e} e UNION ALL SELECT COUNT(*) FROM {e} e",
        "compute.sql, line 6: the outermost level must be one SELECT with aggregates; put UNION ALL into FROM, and ORDER BY and LIMIT at the very end",
    ),
    (
        "SELECT diag_group, COUNT(*) FROM {e} e",
        "compute.sql, line 6: diag_group is neither a group key nor inside an aggregate; put diag_group into GROUP BY, or aggregate it",
    ),
    (
        "SELECT COUNT(*) AS gender, gender FROM {e} e",
        "compute.sql, line 6: gender is neither a group key nor inside an aggregate; put gender into GROUP BY, or aggregate it",
    ),
    // Aggregates that are not there yet.
    (
        "SELECT APPROX_MEDIAN(bmi) FROM {e} e",
        "compute.sql, line 6: APPROX_MEDIAN over several holders is not available in this version; use MEDIAN, which is exact",
    ),
    (
        "SELECT diag_group, MEDIAN(bmi) FROM {e} e GROUP BY diag_group",
        "compute.sql: a quantile of bmi would be found among 196608 rows in each of 6 groups, by the published sizes of the tables, and at most 1048576 can be in all, and among all values of its type it cannot be found by counting; write max_rows",
    ),
    (
        "SELECT diag_group, MEDIAN(num_lab_procedures) FROM {e} e GROUP BY diag_group",
        "compute.sql: a quantile of num_lab_procedures would be found among 196608 rows in each of 6 groups",
    ),
    (
        "SELECT MIN(note) FROM {e} e",
        "the part of hospital_1: hospital_1.encounters.note is text, the job needs a number, or days everywhere; CAST it, aggregate another column, or use COUNT",
    ),
    (
        "SELECT PERCENTILE_CONT(1.5) WITHIN GROUP (ORDER BY num_medications) FROM {e} e",
        "compute.sql, line 6: PERCENTILE_CONT of 1.5, which is no fraction from 0 to 1; write PERCENTILE_CONT(0.25) WITHIN GROUP (ORDER BY x), with up to six decimals from 0 to 1",
    ),
    (
        "SELECT PERCENTILE_DISC(0.5) WITHIN GROUP (ORDER BY num_medications DESC) FROM {e} e",
        "compute.sql, line 6: PERCENTILE_DISC sorts downwards; sort upwards and take 1 − p;",
    ),
    (
        "SELECT PERCENTILE_DISC(0.5) FROM {e} e",
        "compute.sql, line 6: PERCENTILE_DISC needs one fraction and one value;",
    ),
    (
        "SELECT COUNT(DISTINCT weight) FROM {e} e",
        "hospital_1.encounters.weight: COUNT(DISTINCT weight) is a floating-point number; use text, whole numbers, decimals, days or conditions",
    ),
    (
        "SELECT SUM(DISTINCT bmi) FROM {e} e",
        "compute.sql, line 6: SUM(DISTINCT …) over several holders needs a private union of their values, which is available for COUNT(DISTINCT x) alone; leave DISTINCT out, or make rows distinct inside the part of each holder",
    ),
    (
        "SELECT CORR(bmi) FROM {e} e",
        "compute.sql, line 6: CORR takes 2 arguments, not 1; write it as in COUNT(*), SUM(x), WEIGHTED_AVG(x, w)",
    ),
    (
        "SELECT diag_group, SPEARMAN(bmi, weight) FROM {e} e GROUP BY diag_group",
        "compute.sql: ranks of bmi where weight is known would be found among 196608 rows in each of 6 groups, by the published sizes of the tables, and at most 1048576 can be in all; write max_rows in [compute] if no holder's part has as many, group by fewer keys, or use smaller tables",
    ),
    (
        "SELECT RANK() OVER (ORDER BY COUNT(*)) FROM {e} e GROUP BY gender",
        "compute.sql, line 6: a window function over several holders is not available in this version; use it inside the part of one holder",
    ),
    (
        "SELECT SUM(COUNT(*)) FROM {e} e",
        "compute.sql, line 6: SUM of another aggregate or of a window function; aggregate columns and functions of columns",
    ),
    (
        "SELECT SUM(bmi, weight) FROM {e} e",
        "compute.sql, line 6: SUM takes 1 argument, not 2; write it as in COUNT(*), SUM(x), WEIGHTED_AVG(x, w)",
    ),
    (
        "SELECT SUM(*) FROM {e} e",
        "compute.sql, line 6: SUM(*); write a column in place of *",
    ),
    // HAVING, GROUP BY, ORDER BY, LIMIT.
    (
        "SELECT UPPER(gender) AS diag_group, COUNT(*) FROM {e} e GROUP BY UPPER(gender), e.diag_group HAVING diag_group = 'F'",
        "compute.sql, line 6: diag_group in HAVING is a group key and the name of another output; name the output otherwise: … AS another_name",
    ),
    (
        "SELECT gender, COUNT(*) FROM {e} e GROUP BY gender HAVING bmi > 5",
        "compute.sql, line 6: bmi is neither a group key nor inside an aggregate; put bmi into GROUP BY, or aggregate it",
    ),
    (
        "SELECT gender, COUNT(*) FROM {e} e GROUP BY CUBE(gender, diag_group, bmi)",
        "compute.sql, line 6: a CUBE of more than two keys is not available in this version: which totals would tell small groups is not known for it; use a CUBE of two keys, a ROLLUP, or one job for each grouping",
    ),
    (
        "SELECT gender, COUNT(*) FROM {e} e GROUP BY diag_group, ROLLUP(gender)",
        "compute.sql, line 6: ROLLUP, CUBE and GROUPING SETS stand alone in GROUP BY in this version; write GROUP BY ROLLUP(a, b, …) or GROUP BY CUBE(a, b), and nothing beside it",
    ),
    (
        "SELECT gender, COUNT(*) FROM {e} e GROUP BY GROUPING SETS ((gender), (diag_group))",
        "compute.sql, line 6: these GROUPING SETS are neither those of a ROLLUP nor those of a CUBE of two keys",
    ),
    (
        "SELECT gender, COUNT(*) FROM {e} e GROUP BY ROLLUP(gender, gender)",
        "compute.sql, line 6: a key stands twice in ROLLUP or CUBE; name each key once",
    ),
    (
        "SELECT gender, GROUPING(COUNT(*)) FROM {e} e GROUP BY ROLLUP(gender)",
        "compute.sql, line 6: GROUPING takes one key of GROUP BY; name a column as it stands in ROLLUP or CUBE",
    ),
    (
        "SELECT gender, MAX(bmi) FROM {e} e GROUP BY ROLLUP(gender)",
        "GROUP BY: ROLLUP and CUBE go with COUNT, SUM, AVG",
    ),
    (
        "SELECT gender, COUNT(*) FROM {e} e GROUP BY 3",
        "compute.sql, line 6: GROUP BY 3: the SELECT list has 2 outputs; name one of them",
    ),
    (
        "SELECT gender, COUNT(*) AS n FROM {e} e GROUP BY n",
        "compute.sql, line 6: GROUP BY n means an output that is an aggregate; group by columns and functions of columns",
    ),
    (
        "SELECT COUNT(*) FROM {e} e ORDER BY 2",
        "compute.sql, line 6: ORDER BY 2: the SELECT list has 1 output; name one of them",
    ),
    (
        "SELECT COUNT(*) FROM {e} e LIMIT 2 + 1",
        "compute.sql, line 6: LIMIT or OFFSET 2 + 1; write a whole number of rows",
    ),
    (
        "SELECT HISTOGRAM(bmi, 3, 2) AS h, COUNT(*) FROM {e} e GROUP BY h",
        "compute.sql, line 6: HISTOGRAM needs a value and at least two edges, plain numbers in ascending order; write HISTOGRAM(x, 0, 10, 20)",
    ),
    // What would need rows of several holders in one place.
    (
        "SELECT COUNT(*) FROM {e} e JOIN hospital_1.wards w ON e.patient_id = w.patient_id",
        "compute.sql, line 6: hospital_1 has tables on two sides of a join between holders; join the tables of hospital_1 with each other first, in a subquery",
    ),
    (
        "WITH u AS (SELECT * FROM {e} x) SELECT COUNT(*) FROM u a JOIN u b USING (patient_id)",
        "compute.sql, line 6: hospital_1 has tables on two sides of a join between holders",
    ),
    // Joins between holders.
    (
        "SELECT COUNT(*) FROM hospital_1.encounters a, hospital_2.encounters b",
        "compute.sql: not all tables of different holders are joined on one key; join all of them on the same key columns",
    ),
    (
        "SELECT COUNT(*) FROM hospital_1.encounters a JOIN hospital_2.encounters b ON a.patient_id = b.patient_id WHERE a.time_in_hospital * b.time_in_hospital > 3",
        "compute.sql, line 6: a.time_in_hospital * b.time_in_hospital > 3: of columns of different holders, sums and differences are compared; write a.x > b.y",
    ),
    (
        "SELECT COUNT(*) FROM hospital_1.encounters a LEFT JOIN hospital_2.encounters b ON a.patient_id < b.patient_id",
        "compute.sql, line 6: a condition in ON of an outer join that is no equality with the joined table; write the conditions of one table alone in a subquery of its own",
    ),
    (
        "SELECT COUNT(*) FROM hospital_1.encounters a JOIN hospital_2.encounters b ON a.patient_id = b.time_in_hospital",
        "compute.sql, line 6: the key is a whole number at hospital_2.encounters.time_in_hospital and text at hospital_1.encounters.patient_id; CAST one to the type of the other",
    ),
    (
        "SELECT COUNT(*) FROM hospital_1.encounters a JOIN hospital_2.encounters b ON a.bmi = b.bmi",
        "compute.sql, line 6: the key a.bmi of hospital_1 is a floating-point number; join on text, whole numbers, decimals or days",
    ),
    (
        "SELECT COUNT(*) FROM hospital_1.encounters a LEFT JOIN hospital_2.encounters b ON a.patient_id = b.patient_id AND a.patient_id = b.gender",
        "compute.sql, line 6: b.gender and another column of its table are equated with one key",
    ),
    (
        "SELECT COUNT(*) FROM hospital_1.encounters a JOIN hospital_2.encounters b ON patient_id = b.patient_id",
        "compute.sql, line 6: patient_id can mean a column of a or of b; write a.patient_id or b.patient_id",
    ),
    (
        "SELECT COUNT(*) FROM hospital_1.encounters a JOIN hospital_2.encounters b ON a.patient_id = c.patient_id",
        "compute.sql, line 6: no table of the query is called c; they are called a, b",
    ),
    (
        "SELECT COUNT(*) FROM hospital_1.encounters a NATURAL JOIN hospital_2.encounters b",
        "compute.sql, line 6: the key a.\"bmi\" of hospital_1 is a floating-point number; join on text, whole numbers, decimals or days",
    ),
    (
        "SELECT COUNT(*) FROM hospital_1.encounters a JOIN (SELECT patient_id FROM hospital_2.encounters) ON a.patient_id = patient_id",
        "compute.sql, line 6: a subquery in FROM has no name; name it: (SELECT …) t",
    ),
    (
        "SELECT COUNT(*) FROM hospital_1.encounters JOIN hospital_2.encounters USING (patient_id)",
        "compute.sql, line 6: two tables of the query are called encounters; give each a name of its own: party.table t",
    ),
    (
        "SELECT PERCENTILE_DISC(1) WITHIN GROUP (ORDER BY num_medications) FROM {e} e",
        "compute.sql: a quantile at 0 or 1 is the value of one row, and one at p takes 11 rows on either side (min_cell = 11); write a level between",
    ),
    (
        "SELECT MEDIAN(CASE WHEN a.bmi > 20 THEN a.bmi ELSE b.time_in_hospital END) FROM hospital_1.encounters a JOIN hospital_2.encounters b ON a.patient_id = b.patient_id",
        "compute.sql, line 6: MIN, MAX and quantiles over a join between holders count the rows of each value here, and CASE WHEN a.bmi > 20 THEN a.bmi END is no whole number, decimal or day of 64 bits; take them of a column of one table alone",
    ),
    (
        "SELECT a.gender, MAX(CAST(a.time_in_hospital AS DECIMAL(9, 4))) FROM hospital_1.encounters a JOIN hospital_2.encounters b ON a.patient_id = b.patient_id GROUP BY ROLLUP(a.gender)",
        "compute.sql, line 6: MIN, MAX and quantiles over a join between holders count the rows of each value here, and CAST(a.time_in_hospital AS DECIMAL(9,4)) can have 130001 by its range",
    ),
    (
        "SELECT a.gender, MEDIAN(a.time_in_hospital + b.time_in_hospital) FROM hospital_1.encounters a JOIN hospital_2.encounters b ON a.patient_id = b.patient_id GROUP BY ROLLUP(a.gender)",
        "compute.sql, line 6: MIN, MAX and quantiles of a.time_in_hospital + b.time_in_hospital, which is computed from columns of different holders, beside ROLLUP or CUBE; run a job for each grouping",
    ),
    (
        "SELECT MEDIAN(a.weight + b.time_in_hospital) FROM hospital_1.encounters a JOIN hospital_2.encounters b ON a.patient_id = b.patient_id",
        "compute.sql, line 6: a.weight + b.time_in_hospital: floating-point numbers of one holder are multiplied by fractions of another, or added to numbers of another type",
    ),
    (
        "SELECT a.gender, SPEARMAN(a.time_in_hospital, b.time_in_hospital) FROM hospital_1.encounters a JOIN hospital_2.encounters b ON a.patient_id = b.patient_id GROUP BY ROLLUP(a.gender)",
        "compute.sql, line 6: ranks of a.time_in_hospital",
    ),
    (
        "SELECT COUNT(DISTINCT COALESCE(a.gender, b.gender)) FROM hospital_1.encounters a JOIN hospital_2.encounters b ON a.patient_id = b.patient_id",
        "compute.sql, line 6: COUNT(DISTINCT COALESCE(a.gender, b.gender)) over a join between holders: its values are not those of one column of one table",
    ),
    (
        "SELECT SUM(a.time_in_hospital / b.time_in_hospital) FROM hospital_1.encounters a JOIN hospital_2.encounters b ON a.patient_id = b.patient_id",
        "compute.sql, line 6: a.time_in_hospital / b.time_in_hospital: this divides by a column of another holder; multiply by the reciprocal",
    ),
    (
        "SELECT SUM(a.bmi / (a.time_in_hospital + b.time_in_hospital)) FROM hospital_1.encounters a JOIN hospital_2.encounters b ON a.patient_id = b.patient_id",
        "compute.sql, line 6: a.bmi / (a.time_in_hospital + b.time_in_hospital): this divides by an expression over columns of several holders; divide by a column of one holder",
    ),
    (
        "SELECT SUM(a.bmi / b.gender) FROM hospital_1.encounters a JOIN hospital_2.encounters b ON a.patient_id = b.patient_id",
        "compute.sql, line 6: a.bmi / b.gender: this divides by something that is no number",
    ),
    (
        "SELECT VAR_SAMP(a.bmi / b.time_in_hospital) FROM hospital_1.encounters a JOIN hospital_2.encounters b ON a.patient_id = b.patient_id",
        "compute.sql, line 6: a.bmi / b.time_in_hospital: variances, correlations and what follows from them of a quotient of columns of different holders; take SUM, AVG or COUNT of it",
    ),
    (
        "SELECT SUM(a.bmi * b.bmi) FROM hospital_1.encounters a JOIN hospital_2.encounters b ON a.patient_id = b.patient_id",
        "compute.sql, line 6: a.bmi * b.bmi: floating-point numbers of one holder are multiplied by fractions of another",
    ),
    (
        "SELECT a.gender = b.gender, COUNT(*) FROM hospital_1.encounters a JOIN hospital_2.encounters b ON a.patient_id = b.patient_id GROUP BY 1",
        "compute.sql, line 6: the group key a.gender = b.gender mixes columns of different holders",
    ),
    (
        "SELECT COUNT(*) FROM (VALUES (1)) AS m(x) LEFT JOIN {e} e ON m.x = e.time_in_hospital",
        "compute.sql, line 6: this join would add rows that belong to no single holder; join the constants with INNER JOIN, or with LEFT JOIN on the right-hand side",
    ),
    (
        "SELECT COUNT(*) FROM {e} e WHERE patient_id IN (SELECT patient_id FROM hospital_1.wards)",
        "compute.sql, line 6: hospital_1 has tables on two sides of a join between holders; join the tables of hospital_1 with each other first, in a subquery",
    ),
    (
        "SELECT SUM((SELECT MAX(beds) FROM hospital_1.wards)) FROM {e} e",
        "compute.sql, line 6: a number is computed from another holder's table in the middle of a query; run that subquery as a job of its own",
    ),
    (
        "SELECT COUNT(*) FILTER (WHERE patient_id IN (SELECT patient_id FROM hospital_2.wards)) FROM {e} e",
        "compute.sql, line 6: hospital_2 has tables on two sides of a join between holders",
    ),
    (
        "SELECT COUNT(*), (SELECT 1) FROM {e} e",
        "compute.sql, line 6: a subquery beside aggregates over several holders is not available in this version; run it as a job of its own",
    ),
    (
        "SELECT COUNT(*) FROM (SELECT DISTINCT patient_id FROM {e} e) d",
        "compute.sql, line 6: DISTINCT over several holders would need to compare their rows; use it inside the part of one holder",
    ),
    (
        "SELECT COUNT(*) FROM (SELECT patient_id, COUNT(*) AS n FROM {e} e GROUP BY patient_id) d",
        "compute.sql, line 6: an aggregate below the outermost SELECT cannot run over several holders; aggregate on the outermost SELECT, or inside the part of one holder",
    ),
    (
        "SELECT COUNT(*) FROM (SELECT patient_id, ROW_NUMBER() OVER (ORDER BY admitted) AS k FROM {e} e) d",
        "compute.sql, line 6: a window function over several holders would need their rows in one place; use it inside the part of one holder",
    ),
    (
        "SELECT COUNT(*) FROM (SELECT * FROM {e} e ORDER BY admitted LIMIT 10) d",
        "compute.sql, line 6: ORDER BY or LIMIT over the rows of several holders would need their rows in one place; put it on the outermost SELECT, or inside the part of one holder",
    ),
    (
        "SELECT COUNT(*) FROM (SELECT patient_id FROM hospital_1.encounters UNION SELECT patient_id FROM hospital_2.encounters) d",
        "compute.sql, line 6: UNION between holders would need to compare their rows; use UNION ALL",
    ),
    (
        "SELECT COUNT(*) FROM (SELECT patient_id FROM hospital_1.encounters EXCEPT SELECT patient_id FROM hospital_2.encounters) d",
        "compute.sql, line 6: EXCEPT between holders would need to compare their rows; use UNION ALL",
    ),
    (
        "SELECT COUNT(*) FROM (SELECT patient_id FROM hospital_1.encounters UNION ALL SELECT patient_id FROM hospital_2.encounters UNION ALL SELECT 'x') d",
        "compute.sql, line 6: a branch of UNION ALL between holders names no table, so no holder would count it; leave it out",
    ),
    // Columns.
    (
        "SELECT COUNT(*) FROM (SELECT * FROM hospital_1.encounters UNION ALL SELECT * FROM hospital_2.wards) d",
        "compute.sql, line 6: the first branch of the UNION ALL has 16 columns, the branch of hospital_2 has 3: it has no admitted, bmi, charges, diag_group, emergency, and adds beds, ward; list the same columns in every branch",
    ),
    (
        "SELECT COUNT(*) FROM (SELECT patient_id, note FROM hospital_1.encounters UNION ALL SELECT patient_id FROM hospital_2.encounters) d",
        "compute.sql, line 6: the first branch of the UNION ALL has 2 columns, the branch of hospital_2 has 1: it has no note; list the same columns in every branch",
    ),
    (
        "SELECT COUNT(*) FROM (SELECT beds, ward, patient_id FROM hospital_1.wards UNION ALL SELECT * FROM hospital_2.wards) d",
        "compute.sql, line 6: UNION ALL matches columns by position, and * gives the branch of hospital_2 the same columns in another order; list the columns in the same order in every branch",
    ),
    (
        "SELECT AVG(time_in_hosptial) FROM {e} e",
        "compute.sql, line 6: hospital_1.encounters has no column time_in_hosptial; did you mean time_in_hospital?",
    ),
    (
        "SELECT COUNT(*) FROM {e} e WHERE nothing_like_it > 3",
        "compute.sql, line 6: hospital_1.encounters has no column nothing_like_it; its columns are admitted, bmi, charges, diag_group, emergency, gender, Größe, note, num_lab_procedures, num_medications, patient_id, readmitted, seen_at, time_in_hospital, weight, 科室",
    ),
    (
        "SELECT SUM(note) FROM (SELECT patient_id AS x, bmi FROM hospital_1.encounters UNION ALL SELECT patient_id, weight FROM hospital_2.encounters) d",
        "the part of hospital_1: there is no column note at this place of the query; columns here are x, bmi",
    ),
    // Types.
    (
        "SELECT SUM(diag_group) FROM {e} e",
        "the part of hospital_1: hospital_1.encounters.diag_group is text, the job needs a number; CAST it, aggregate another column, or use COUNT",
    ),
    (
        "SELECT SUM(emergency) FROM {e} e",
        "the part of hospital_1: hospital_1.encounters.emergency is true or false, the job needs a number; write CASE WHEN … THEN 1 ELSE 0 END",
    ),
    (
        "SELECT AVG(bmi > 3) FROM {e} e",
        "the part of hospital_1: bmi > 3 is true or false, the job needs a number; write CASE WHEN … THEN 1 ELSE 0 END",
    ),
    (
        "SELECT COUNT(*) FROM {e} e WHERE note > 3",
        "the part of hospital_1: e.note > 3 mixes text and a number; CAST one side to the type of the other",
    ),
    (
        "SELECT COUNT(*) FROM {e} e WHERE time_in_hospital IN (1, '2')",
        "the part of hospital_1: ",
    ),
    (
        "SELECT COUNT(*) FROM {e} e WHERE admitted > NOW()",
        "the part of hospital_1: now() gives each holder another value, so nobody could approve it; write the date or number out",
    ),
    (
        "SELECT SUM(bmi * RANDOM()) FROM {e} e",
        "the part of hospital_1: random() gives each holder another value, so nobody could approve it; write the date or number out",
    ),
    (
        "SELECT nosuch(gender) AS g, COUNT(*) FROM {e} e GROUP BY g",
        "the part of hospital_1: Invalid function 'nosuch'",
    ),
    (
        "SELECT bmi, COUNT(*) FROM {e} e GROUP BY bmi",
        "hospital_1.encounters.bmi: the group key bmi is a floating-point number; use text, whole numbers, decimals, days or conditions: CAST(… AS DATE), ROUND or HISTOGRAM",
    ),
    (
        "SELECT x, COUNT(*) FROM (SELECT diag_group AS x FROM hospital_1.encounters UNION ALL SELECT time_in_hospital FROM hospital_2.encounters) e GROUP BY x",
        "hospital_2.encounters.time_in_hospital: the group key x is a whole number here and text at hospital_1.encounters.diag_group; CAST one to the type of the other in its branch of the UNION ALL",
    ),
    (
        "SELECT INTERVAL '1 day' AS i, COUNT(*) FROM {e} e",
        "the outermost SELECT: the output i is a span of time; CAST it to a number, text or DATE",
    ),
    // Groups.
    (
        "SELECT note, COUNT(*) FROM {e} e GROUP BY note",
        "hospital_1.encounters.note: the groups of note are not known: no categories are published; ask hospital_1 to publish them in its policy (categories = \"from_data\" or a list), or to let them form groups unpublished (categories = \"hidden\"), or declare the groups in the job: [compute.domain] note = [\"…\"]",
    ),
    (
        "SELECT UPPER(note) AS \"the note\", COUNT(*) FROM {e} e GROUP BY 1",
        "hospital_1.encounters.note: the groups of the note are not known: no categories are published; ask hospital_1 to publish them in its policy (categories = \"from_data\" or a list), or to let them form groups unpublished (categories = \"hidden\"), or declare the groups in the job: [compute.domain] \"the note\" = [\"…\"]",
    ),
    (
        "SELECT gender, time_in_hospital, num_medications, diag_group, readmitted, admitted, COUNT(*) FROM {e} e GROUP BY ALL",
        "GROUP BY: the groups multiply to more than 1048576: gender (3 groups) × time_in_hospital (14 groups) × num_medications (102 groups) × diag_group (6 groups) × readmitted (4 groups) × admitted (1096 groups); group by fewer or coarser keys, or declare fewer groups in [compute.domain]",
    ),
];

#[test]
fn each_fault_says_what_where_and_what_to_do() {
    let mut wrong = Vec::new();
    for (sql, expected) in REFUSED {
        let found = match try_plan(&job(sql), &hospitals()) {
            Ok(_) => "a plan".to_owned(),
            Err(faults) => faults[0].to_string(),
        };
        if !found.starts_with(expected) {
            wrong.push(format!("{sql}\n  found    {found}\n  expected {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn faults_of_one_job_are_reported_together() {
    let sql = "SELECT ANY_VALUE(bmi),\n STRING_AGG(note),\n AVG(DISTINCT bmi)\nFROM (SELECT * FROM hospital_1.encounters UNION SELECT * FROM hospital_2.encounters) e";
    let text = job(sql).replace("\"analyst\"", "\"analist\"");
    let found = faults(&text, &hospitals());
    let places: Vec<&str> = found
        .iter()
        .map(|f| f.split(": ").next().unwrap_or_default())
        .collect();
    assert_eq!(
        places,
        [
            "compute.sql, line 6",
            "compute.sql, line 7",
            "compute.sql, line 8",
            "compute.sql, line 9"
        ],
        "{found:#?}"
    );
    let types = faults(
        &job("SELECT note, SUM(note), AVG(admitted) FROM {e} e GROUP BY note"),
        &hospitals(),
    );
    assert_eq!(types.len(), 6, "two arguments at three holders: {types:#?}");
}

#[test]
fn correlations_must_be_named_where_something_is_compared() {
    let sql = "SELECT gender, COUNT(*) FROM {e} e GROUP BY gender HAVING COUNT(bmi) >= 3";
    assert_eq!(
        faults(&job_with(sql, "", ""), &hospitals()),
        [
            "privacy.correlations: is missing: comparing counts on shares (COUNT(*) >= 5 AND COUNT(bmi) >= 3) takes correlated random numbers, and hospital_1, hospital_2, hospital_3 does not let counts be opened instead; write correlations = \"ot\" (the parties make them, no third party), or correlations = \"dealer:NAME\" (that party deals them, sees no data, and must not collude with any party)"
        ]
    );
}

#[test]
fn the_dealer_is_apart() {
    let sql = "SELECT COUNT(*) FROM {e} e";
    let with = |from: &str, to: &str| faults(&job(sql).replace(from, to), &hospitals());
    assert_eq!(
        with("\"ot\"", "\"dealer:hospital_2\""),
        [
            "privacy.correlations: the dealer hospital_2 is a holder of this job, and would learn every input; name a party without tables in this job, or write correlations = \"ot\""
        ]
    );
}
