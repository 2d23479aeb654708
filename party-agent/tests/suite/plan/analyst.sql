-- Queries as analysts write them, one a paragraph, over the tables of `joint::world`: h_a, h_b (a union), i_a, i_b (a union) and r.
-- A line `-- plain:` starts what the same means to plain SQL, where that is written otherwise; `-- rows:` says
-- in how many rows a key stands at most, where rows are compared; `-- refused:` says with
-- which words the job is refused.

-- Names of outputs that are names of ours.
SELECT h.cat AS o0, COUNT(*) AS k0, SUM(h.small) AS n FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY h.cat ORDER BY 2, 3

SELECT h.cat AS k0, h.flag AS o0, COUNT(*) AS o1 FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY h.cat, h.flag ORDER BY h.cat NULLS LAST, h.flag NULLS LAST

SELECT COUNT(*) AS released, SUM(h.small) AS s0, MAX(h.small) AS max0, COUNT(h.cat) AS n1 FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid

SELECT cat AS "O0", SUM(small) AS o0_, COUNT(*) AS K0 FROM (SELECT * FROM h_a.t UNION ALL SELECT * FROM h_b.t) u GROUP BY cat ORDER BY cat NULLS LAST

SELECT cat AS s0, COUNT(*) AS n, SUM(small) AS k1, SUM(small) + COUNT(*) AS o1 FROM (SELECT * FROM h_a.t UNION ALL SELECT * FROM h_b.t) u GROUP BY cat ORDER BY n DESC, s0 NULLS LAST

SELECT cat AS a0, SUM(small) AS a1, COUNT(small) AS j0 FROM (SELECT *, small AS k0, big AS a0 FROM h_a.t) h JOIN (SELECT pid, cat AS c FROM i_a.t) i USING (pid) WHERE k0 > 0 AND a0 > -900000 GROUP BY cat ORDER BY cat NULLS LAST

-- Different values of columns that are no key.
SELECT COUNT(DISTINCT i.cat) AS c FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid

SELECT COUNT(DISTINCT h.small) AS a, COUNT(DISTINCT i.big) AS b, COUNT(*) AS n FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid

SELECT h.cat, COUNT(DISTINCT i.cat) AS c, COUNT(DISTINCT h.pid) AS p FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY h.cat ORDER BY h.cat NULLS LAST

SELECT i.cat, COUNT(DISTINCT i.day) AS d, COUNT(DISTINCT i.money) AS m FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY i.cat ORDER BY i.cat NULLS LAST

SELECT h.flag, i.flag, COUNT(DISTINCT h.part) AS c FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY h.flag, i.flag ORDER BY 1 NULLS LAST, 2 NULLS LAST

SELECT COUNT(DISTINCT u.cat) AS c, COUNT(DISTINCT u.part) AS p FROM (SELECT * FROM h_a.t UNION ALL SELECT * FROM h_b.t) u JOIN i_a.t i ON u.pid = i.pid

SELECT u.flag, COUNT(DISTINCT u.small) AS s, COUNT(DISTINCT i.small) AS t FROM (SELECT * FROM h_a.t UNION ALL SELECT * FROM h_b.t) u JOIN i_a.t i ON u.pid = i.pid GROUP BY u.flag ORDER BY u.flag NULLS LAST

SELECT COUNT(DISTINCT v.cat) AS c, COUNT(DISTINCT u.small) AS s FROM (SELECT * FROM h_a.t UNION ALL SELECT * FROM h_b.t) u JOIN (SELECT * FROM i_a.t UNION ALL SELECT * FROM i_b.t) v ON u.pid = v.pid WHERE u.small > 1

SELECT COUNT(DISTINCT i.cat) AS c, COUNT(DISTINCT h.cat) AS d FROM h_a.t h LEFT JOIN i_a.t i ON h.pid = i.pid

SELECT i.flag, COUNT(DISTINCT h.cat) AS d FROM h_a.t h LEFT JOIN i_a.t i ON h.pid = i.pid GROUP BY i.flag ORDER BY i.flag NULLS LAST

SELECT COUNT(DISTINCT i.cat) AS c, COUNT(DISTINCT h.small) AS d FROM h_a.t h FULL JOIN i_a.t i ON h.pid = i.pid

SELECT COUNT(DISTINCT i.cat) AS c, COUNT(DISTINCT h.small) AS d FROM h_a.t h RIGHT JOIN i_a.t i ON h.pid = i.pid AND h.small > 2

SELECT COUNT(DISTINCT i.cat) FILTER (WHERE h.small > 3) AS c FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid

SELECT COUNT(DISTINCT CASE WHEN h.flag THEN i.part END) AS c FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid

SELECT COUNT(DISTINCT i.small * 2 + 1) AS c, COUNT(DISTINCT UPPER(i.cat)) AS u FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid WHERE h.small + 1 > 2

SELECT COUNT(DISTINCT EXTRACT(YEAR FROM i.day)) AS y, COUNT(DISTINCT i.flag) AS f FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid

SELECT COUNT(DISTINCT h.cat) AS c FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid JOIN r.t w ON w.pid = h.pid

SELECT COUNT(DISTINCT w.small) AS c, COUNT(DISTINCT h.small) AS d FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid LEFT JOIN r.t w ON w.pid = h.pid

SELECT COUNT(DISTINCT h.part) AS c FROM h_a.t h WHERE h.pid IN (SELECT pid FROM i_a.t WHERE small > 2)

SELECT h.cat, COUNT(DISTINCT h.small) AS c FROM h_a.t h WHERE NOT EXISTS (SELECT 1 FROM i_a.t w WHERE w.pid = h.pid) GROUP BY h.cat ORDER BY 1 NULLS LAST

SELECT h.cat, COUNT(DISTINCT i.small) AS c FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY h.cat HAVING COUNT(DISTINCT i.small) >= 4 ORDER BY h.cat NULLS LAST

SELECT COUNT(DISTINCT h.part) AS c FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid AND h.part = i.part

SELECT COUNT(DISTINCT h.pid) AS c FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid WHERE h.small > 4 OR i.small > 4

SELECT h.flag, COUNT(DISTINCT h.cat) AS c, COUNT(DISTINCT i.small) AS s FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid WHERE h.small > 4 OR i.small > 4 GROUP BY h.flag ORDER BY h.flag NULLS LAST

SELECT COUNT(DISTINCT i.cat) AS c FROM h_a.t h LEFT JOIN i_a.t i ON h.pid = i.pid WHERE h.small > 4 OR i.small > 4 OR i.pid IS NULL

SELECT COUNT(DISTINCT h.small * i.small) AS c FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid
-- refused: its values are not those of one column of one table

SELECT COUNT(DISTINCT -CASE WHEN i.flag THEN h.small END) AS c FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid
-- refused: its values are not those of one column of one table

SELECT COUNT(DISTINCT CASE WHEN h.flag THEN i.small ELSE 2.0 END) AS c FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid
-- refused: its values are not those of one column of one table

SELECT COUNT(DISTINCT CASE WHEN h.flag THEN NULL END) AS c FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid

SELECT COUNT(DISTINCT COALESCE(i.cat, 'none')) AS c FROM h_a.t h LEFT JOIN i_a.t i ON h.pid = i.pid
-- refused: it has a value in rows without a match

SELECT COUNT(DISTINCT COALESCE(i.cat, h.cat)) AS c FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid
-- refused: its values are not those of one column of one table

SELECT COUNT(DISTINCT i.x) AS c FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid
-- refused: COUNT(DISTINCT i.x)

SELECT h.cat, COUNT(DISTINCT i.cat) AS c FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY ROLLUP(h.cat)
-- refused: beside ROLLUP or CUBE

-- HAVING.
SELECT h.cat, SUM(i.small) AS s FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY h.cat HAVING SUM(i.small) > 30 ORDER BY h.cat NULLS LAST

SELECT h.cat, COUNT(*) AS n FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY h.cat HAVING AVG(i.small) > 2.5 AND COUNT(*) > 3 ORDER BY h.cat NULLS LAST

SELECT h.cat, MIN(h.small) AS lo, MAX(h.small) AS hi FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY h.cat HAVING MAX(h.small) >= 9 OR MIN(h.small) < -2 ORDER BY h.cat NULLS LAST

SELECT h.cat, COUNT(*) AS n FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY h.cat HAVING n < 20 ORDER BY n DESC, h.cat NULLS LAST

SELECT h.cat, COUNT(*) AS n FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY h.cat HAVING COUNT(*) BETWEEN 5 AND 25 ORDER BY h.cat NULLS LAST

SELECT h.cat AS c, SUM(h.money) AS m FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY h.cat HAVING SUM(h.money) / COUNT(*) > 3500 ORDER BY c NULLS LAST

SELECT h.cat, SUM(h.small) AS s FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY h.cat HAVING SUM(h.small) > 20 ORDER BY s DESC LIMIT 2

SELECT cat, SUM(small) AS s FROM (SELECT * FROM h_a.t UNION ALL SELECT * FROM h_b.t) u GROUP BY cat HAVING SUM(small) > 40 AND NOT COUNT(*) < 3 ORDER BY cat NULLS LAST

SELECT cat, flag, AVG(x) AS m FROM (SELECT * FROM h_a.t UNION ALL SELECT * FROM h_b.t) u GROUP BY cat, flag HAVING AVG(x) > 0 ORDER BY cat NULLS LAST, flag NULLS LAST

SELECT cat, COUNT(*) AS n FROM (SELECT * FROM h_a.t UNION ALL SELECT * FROM h_b.t) u GROUP BY cat HAVING cat IS NOT NULL AND cat <> 'a' AND MAX(small) > 3 ORDER BY cat

SELECT cat, SUM(small) AS s FROM (SELECT * FROM h_a.t UNION ALL SELECT * FROM h_b.t) u GROUP BY cat HAVING s > 20 AND s <> 33 ORDER BY s

SELECT SUM(small) AS s FROM (SELECT * FROM h_a.t UNION ALL SELECT * FROM h_b.t) u HAVING SUM(small) > 1000000

SELECT SUM(small) AS s FROM (SELECT * FROM h_a.t UNION ALL SELECT * FROM h_b.t) u HAVING SUM(small) > 10

SELECT UPPER(cat) AS flag, COUNT(*) AS n FROM (SELECT * FROM h_a.t UNION ALL SELECT * FROM h_b.t) u GROUP BY UPPER(cat), flag HAVING flag
-- refused: is a group key and the name of another output

SELECT * FROM (SELECT h.cat AS c, SUM(i.money) AS m FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY h.cat) t WHERE m > 100000 ORDER BY c NULLS LAST

-- BOOL_AND, BOOL_OR, EVERY.
SELECT h.cat, BOOL_OR(i.flag) AS a, BOOL_AND(i.flag) AS b, COUNT(*) AS n FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY h.cat ORDER BY h.cat NULLS LAST

SELECT BOOL_OR(h.small > 8) AS a, BOOL_AND(h.small > -4) AS b FROM h_a.t h LEFT JOIN i_a.t i ON h.pid = i.pid

SELECT cat, BOOL_OR(flag) AS a, BOOL_AND(small >= -3) AS b, BOOL_OR(small > 100) AS c FROM (SELECT * FROM h_a.t UNION ALL SELECT * FROM h_b.t) u GROUP BY cat ORDER BY cat NULLS LAST

SELECT cat, BOOL_OR(flag) FILTER (WHERE small > 5) AS a FROM (SELECT * FROM h_a.t UNION ALL SELECT * FROM h_b.t) u GROUP BY cat HAVING BOOL_AND(small > -9) ORDER BY cat NULLS LAST

SELECT part, EVERY(flag) AS a FROM (SELECT * FROM h_a.t UNION ALL SELECT * FROM h_b.t) u GROUP BY part ORDER BY part
-- plain: SELECT part, BOOL_AND(flag) AS a FROM (SELECT * FROM h_a.t UNION ALL SELECT * FROM h_b.t) u GROUP BY part ORDER BY part

-- USING and NATURAL JOIN.
SELECT COUNT(*) AS n, SUM(h.big) AS s FROM h_a.t h JOIN i_a.t i USING (pid, part)

SELECT part, COUNT(*) AS n FROM h_a.t h JOIN i_a.t i USING (pid, part) GROUP BY part ORDER BY part

SELECT COUNT(*) AS n, SUM(a) AS s, SUM(b) AS t FROM (SELECT pid, part, small AS a FROM h_a.t) h NATURAL JOIN (SELECT pid, part, big AS b FROM i_a.t) i

SELECT part, COUNT(DISTINCT pid) AS n, SUM(a) AS s FROM (SELECT pid, part, small AS a FROM h_a.t) h NATURAL JOIN (SELECT pid, part, big AS b FROM i_a.t) i GROUP BY part ORDER BY part

SELECT COUNT(*) AS n, COUNT(b) AS c FROM (SELECT pid, small AS a FROM h_a.t) h NATURAL LEFT JOIN (SELECT pid, big AS b FROM i_a.t) i

SELECT COUNT(*) AS n, SUM(c) AS s FROM (SELECT pid, small AS a FROM h_a.t) h NATURAL JOIN (SELECT pid, big AS b FROM i_a.t) i NATURAL JOIN (SELECT pid, part AS c FROM r.t) w

SELECT COUNT(*) AS n FROM (SELECT pid AS p, small AS a FROM h_a.t) h NATURAL JOIN (SELECT pid, big AS b FROM i_a.t) i
-- refused: have no column in common

-- Subqueries, CTEs, set operations.
WITH a AS (SELECT pid, SUM(small) AS s FROM h_a.t GROUP BY pid), b AS (SELECT pid, MAX(day) AS d FROM i_a.t GROUP BY pid) SELECT COUNT(*) AS n, SUM(a.s) AS s FROM a JOIN b ON a.pid = b.pid WHERE b.d >= DATE '2021-01-01'

WITH everyone AS (SELECT * FROM h_a.t UNION ALL SELECT * FROM h_b.t), paid AS (SELECT pid, SUM(money) AS m FROM i_a.t GROUP BY pid) SELECT e.cat, COUNT(*) AS n, SUM(p.m) AS m FROM everyone e LEFT JOIN paid p ON p.pid = e.pid GROUP BY e.cat ORDER BY e.cat NULLS LAST

WITH f AS (SELECT *, ROW_NUMBER() OVER (PARTITION BY pid ORDER BY big) AS k FROM h_a.t) SELECT COUNT(*) AS n, AVG(i.x) AS x FROM f JOIN i_a.t i ON f.pid = i.pid WHERE f.k = 1

WITH f AS (SELECT *, RANK() OVER (PARTITION BY part ORDER BY big DESC) AS k FROM h_a.t) SELECT f.k <= 3 AS best, COUNT(*) AS n FROM f JOIN i_a.t i ON f.pid = i.pid GROUP BY f.k <= 3 ORDER BY best

SELECT COUNT(*) AS n FROM (SELECT DISTINCT pid FROM h_a.t WHERE pid IS NOT NULL) h JOIN (SELECT DISTINCT pid FROM i_a.t) i ON h.pid = i.pid

SELECT COUNT(*) AS n, SUM(h.small) AS s FROM h_a.t h WHERE h.pid IN (SELECT pid FROM i_a.t) AND h.pid NOT IN (SELECT pid FROM r.t WHERE pid IS NOT NULL)

SELECT COUNT(*) AS n FROM h_a.t h WHERE EXISTS (SELECT 1 FROM i_a.t i WHERE i.pid = h.pid AND i.flag) AND h.flag

SELECT h.cat, SUM(CASE WHEN EXISTS (SELECT 1 FROM i_a.t i WHERE i.pid = h.pid) THEN 1 ELSE 0 END) AS n FROM h_a.t h GROUP BY h.cat ORDER BY h.cat NULLS LAST
-- plain: SELECT h.cat, SUM(CASE WHEN i.pid IS NOT NULL THEN 1 ELSE 0 END) AS n FROM h_a.t h LEFT JOIN (SELECT DISTINCT pid FROM i_a.t) i ON h.pid = i.pid GROUP BY h.cat ORDER BY h.cat NULLS LAST

SELECT COUNT(*) AS n FROM h_a.t a JOIN h_b.t b ON a.pid = b.pid JOIN i_a.t c ON b.pid = c.pid JOIN i_b.t d ON d.pid = c.pid

SELECT t.c, t.n FROM (SELECT h.cat AS c, COUNT(*) AS n FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY h.cat) t ORDER BY t.n DESC, t.c NULLS LAST LIMIT 3

SELECT DISTINCT h.cat FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid ORDER BY 1 NULLS LAST

-- Conditions and expressions across holders.
SELECT SUM(CASE WHEN h.flag AND i.flag THEN 1 ELSE 0 END) AS both_of_them, SUM(CASE WHEN h.flag OR i.flag THEN 1 ELSE 0 END) AS either FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid

SELECT SUM(h.small * i.small) AS p, SUM(h.money * i.small) AS q, AVG(h.small - i.small) AS d FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid

SELECT CASE WHEN h.small > 5 THEN 'high' WHEN h.small > 0 THEN 'low' ELSE 'none' END AS band, i.flag, COUNT(*) AS n FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY 1, 2 ORDER BY 1, 2 NULLS LAST

SELECT COUNT(*) AS n FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid WHERE (h.cat = 'a' AND i.cat = 'b') OR (h.cat = 'b' AND i.cat = 'a')

SELECT COUNT(*) AS n FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid WHERE NOT (h.flag OR i.small > 3)

SELECT COUNT(*) AS n FROM h_a.t h LEFT JOIN i_a.t i ON h.pid = i.pid WHERE i.pid IS NULL

SELECT COUNT(*) AS n, COUNT(i.pid) AS m FROM h_a.t h LEFT JOIN i_a.t i ON h.pid = i.pid AND i.flag

SELECT COALESCE(i.cat, 'nothing') AS c, COUNT(*) AS n FROM h_a.t h LEFT JOIN i_a.t i ON h.pid = i.pid GROUP BY 1 ORDER BY 1

SELECT SUM(COALESCE(i.money, 0)) AS m, AVG(COALESCE(i.small, 0)) AS s FROM h_a.t h LEFT JOIN i_a.t i ON h.pid = i.pid

SELECT SUM(i.money) / SUM(h.money) AS q, 100.0 * COUNT(i.cat) / COUNT(*) AS p FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid
-- plain: SELECT CAST(SUM(i.money) AS DOUBLE) / CAST(SUM(h.money) AS DOUBLE) AS q, CAST(100.0 * COUNT(i.cat) AS DOUBLE) / COUNT(*) AS p FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid

SELECT ROUND(AVG(h.small), 2) AS r, SUM(h.small) * 1.5 AS s, ABS(MIN(h.small)) AS a FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid

SELECT COUNT(*) FILTER (WHERE i.small > h.small) AS n FROM (SELECT pid, MAX(small) AS small FROM h_a.t WHERE pid IS NOT NULL GROUP BY pid) h JOIN (SELECT pid, MAX(small) AS small FROM i_a.t WHERE pid IS NOT NULL GROUP BY pid) i ON h.pid = i.pid

SELECT COUNT(*) AS n FROM h_a.t h, i_a.t i WHERE h.pid = i.pid AND h.small IN (1, 2, 3) AND i.cat LIKE 'a%'

SELECT h.pid = 'p7' AS seven, COUNT(*) AS n FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY 1 ORDER BY 1

SELECT EXTRACT(YEAR FROM h.day) AS y, COUNT(*) AS n, SUM(i.small) AS s FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY 1 ORDER BY 1

SELECT MIN(h.day) AS a, MAX(i.day) AS b FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid

SELECT h.flag, AVG(i.small) AS m, STDDEV_SAMP(i.small) AS s, VAR_POP(i.small) AS v FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY h.flag ORDER BY h.flag NULLS LAST

SELECT CORR(h.small, i.small) AS c, COVAR_SAMP(h.small, i.part) AS v, REGR_SLOPE(h.small, i.part) AS b FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid

SELECT h.cat, i.cat, COUNT(*) AS n FROM h_a.t h FULL JOIN i_a.t i ON h.pid = i.pid GROUP BY h.cat, i.cat ORDER BY 1 NULLS LAST, 2 NULLS LAST

SELECT MEDIAN(h.small) AS m FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid
-- plain: SELECT MEDIAN(CAST(h.small AS DOUBLE)) AS m FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid

SELECT COUNT(*) + SUM(h.small) * 2 - COUNT(i.cat) AS z FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid

SELECT SUM(h.small) FILTER (WHERE i.cat = 'a') AS a, SUM(h.small) FILTER (WHERE i.cat = 'b' AND h.flag) AS b FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid

SELECT NULLIF(SUM(h.small), 0) AS s, COALESCE(MAX(i.small), -1) AS m FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid WHERE h.small > 100

SELECT h.cat, COUNT(*) AS n FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY h.cat ORDER BY COUNT(*) DESC, h.cat NULLS LAST LIMIT 2 OFFSET 1

SELECT h.cat, SUM(i.money) AS m FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY h.cat ORDER BY SUM(i.money) DESC NULLS LAST

SELECT COUNT(*) AS n FROM h_a.t h JOIN i_a.t i ON h.num = i.num

SELECT COUNT(*) AS n FROM h_a.t h JOIN i_a.t i ON LOWER(h.pid) = LOWER(i.pid)

SELECT COUNT(*) AS n FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid AND h.day = i.day

SELECT h.cat || '-' || COALESCE(h.cat, 'x') AS c, COUNT(*) AS n FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY 1 ORDER BY 1 NULLS LAST

SELECT GROUPING(h.cat) AS g, h.cat, COUNT(*) AS n, SUM(i.small) AS s FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY ROLLUP(h.cat) ORDER BY g, h.cat NULLS LAST

-- Unions without a join.
SELECT cat, COUNT(DISTINCT pid) AS p, COUNT(*) AS n, SUM(money) AS m FROM (SELECT * FROM h_a.t UNION ALL SELECT * FROM h_b.t UNION ALL SELECT * FROM i_a.t) u GROUP BY cat ORDER BY cat NULLS LAST

SELECT cat, MAX(big) AS hi, MIN(x) AS lo, MAX(day) AS d FROM (SELECT * FROM h_a.t UNION ALL SELECT * FROM h_b.t) u WHERE flag GROUP BY cat ORDER BY hi DESC NULLS LAST

SELECT s, COUNT(*) AS n FROM (SELECT CAST(SIGNUM(small) AS INT) AS s FROM h_a.t UNION ALL SELECT CAST(SIGNUM(small) AS INT) FROM h_b.t) u GROUP BY s ORDER BY s NULLS LAST

SELECT part, AVG(small) AS a, COUNT(DISTINCT cat) AS c FROM (SELECT * FROM h_a.t UNION ALL SELECT * FROM h_b.t) u GROUP BY part HAVING COUNT(DISTINCT cat) > 2 ORDER BY part

-- Comparisons of several rows a key.
SELECT COUNT(*) AS n, COUNT(DISTINCT h.pid) AS p, AVG(i.small) AS m FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid WHERE h.day > i.day
-- rows: h = 9, i = 9

SELECT i.cat, SUM(CASE WHEN h.money > i.money THEN h.small ELSE i.part END) AS s FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY i.cat ORDER BY 1 NULLS LAST
-- rows: h = 9, i = 9

SELECT h.flag, COUNT(*) FILTER (WHERE h.day - i.day > 30) AS n, COUNT(*) AS total FROM (SELECT * FROM h_a.t WHERE pid IS NOT NULL) h LEFT JOIN i_a.t i ON h.pid = i.pid GROUP BY h.flag ORDER BY 1 NULLS LAST
-- rows: h = 9, i = 9

SELECT MIN(h.small - i.small) AS a, MAX(h.small + i.part) AS b FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid WHERE h.day > i.day OR h.cat = 'a'
-- rows: h = 9, i = 9

SELECT COUNT(*) AS n FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid JOIN r.t w ON h.pid = w.pid WHERE h.small < i.small
-- rows: h = 9, i = 9, w = 9
-- refused: pairs of rows

-- What is refused.
SELECT SUM(DISTINCT h.small) AS s FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid
-- refused: SUM(DISTINCT …)

SELECT h.pid, i.cat FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid
-- refused: the job would release rows

SELECT COUNT(*) AS n FROM h_a.t h JOIN i_a.t i ON h.small < i.small
-- refused: not all tables of different holders are joined on one key

SELECT h.cat, ROW_NUMBER() OVER (ORDER BY COUNT(*)) AS r FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY h.cat
-- refused: window function

SELECT h.cat, (SELECT MAX(small) FROM r.t) AS m, COUNT(*) AS n FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY h.cat
-- refused: subquery

SELECT STRING_AGG(h.cat, ',') AS s FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid
-- refused: STRING_AGG

SELECT SUM(h.x * i.x) AS s FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid
-- refused: floating-point

SELECT COUNT(*) AS n FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid JOIN r.t w ON w.num = i.num
-- refused: not all tables of different holders are joined on one key

SELECT h.pid || i.pid AS p, COUNT(*) AS n FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY 1
-- refused: mixes columns of different holders

SELECT CONCAT(h.cat, i.cat) AS c, COUNT(*) AS n FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY 1
-- refused: mixes columns of different holders

-- Days between days of two holders.
SELECT AVG(h.day - i.day) AS days, SUM(i.day - h.day) AS back, COUNT(h.day - i.day) AS n FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid

SELECT h.flag, SUM(CASE WHEN i.small > 0 THEN h.day - i.day END) AS days FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY h.flag ORDER BY h.flag NULLS LAST

-- What is chosen among by its value.
SELECT SUM(CASE h.flag WHEN TRUE THEN i.small WHEN FALSE THEN i.part ELSE 0 END) AS s FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid

-- Thresholds beyond what canonical JSON has for numbers.
SELECT cat, SUM(money) AS s FROM (SELECT * FROM h_a.t UNION ALL SELECT * FROM h_b.t) u GROUP BY cat HAVING SUM(money) < 100000000000000 ORDER BY cat NULLS LAST

SELECT h.cat, COUNT(*) AS n FROM h_a.t h JOIN i_a.t i ON h.pid = i.pid GROUP BY h.cat HAVING COUNT(*) < 10000000000000000 ORDER BY h.cat NULLS LAST

-- NULL comes last, whatever the direction.
SELECT COUNT(*) AS n, SUM(h.small) AS s FROM (SELECT pid, small, ROW_NUMBER() OVER (PARTITION BY pid ORDER BY small DESC) AS k FROM h_a.t) h JOIN i_a.t i ON h.pid = i.pid WHERE h.k = 1
-- plain: SELECT COUNT(*) AS n, SUM(h.small) AS s FROM (SELECT pid, small, ROW_NUMBER() OVER (PARTITION BY pid ORDER BY small DESC NULLS LAST) AS k FROM h_a.t) h JOIN i_a.t i ON h.pid = i.pid WHERE h.k = 1

-- What a row without a match has, of a column's own type.
SELECT COUNT(*) AS n, SUM(h.small) AS s FROM h_a.t h LEFT JOIN i_a.t i ON h.pid = i.pid WHERE EXTRACT(YEAR FROM i.day) IS NULL OR EXTRACT(YEAR FROM i.day) > 2000

SELECT COUNT(*) AS n, COUNT(*) FILTER (WHERE EXTRACT(MONTH FROM i.day) < 7) AS early, SUM(EXTRACT(DAY FROM i.day)) AS days FROM h_a.t h LEFT JOIN i_a.t i ON h.pid = i.pid
