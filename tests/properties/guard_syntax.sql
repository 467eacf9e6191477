-- postgresql
SELECT a / 2, a % 2, a ^ 2, log(10, 100), a::numeric(10, 2), cast(a AS double precision) FROM t
SELECT date_trunc('month', timestamp '2020-05-06 07:08:09'), date '2020-01-31' + interval '1 month', age(date '2020-02-01', date '2019-01-01')
SELECT extract(year FROM date '2020-05-06'), to_char(date '2020-05-06', 'YYYY-MM'), date_part('dow', date '2020-05-06')
SELECT 'a\b', E'a\tb\'c', $$it's$$ FROM t
SELECT b ILIKE 'X', b ~ '^x', b !~* 'X', b SIMILAR TO 'x', b LIKE 'i!t%' ESCAPE '!' FROM t ORDER BY a, b
SELECT string_agg(b, ';' ORDER BY b DESC), array_agg(a ORDER BY a), count(DISTINCT a), count(*) FILTER (WHERE a > 1) FROM t
SELECT stddev(a), variance(a), percentile_cont(0.5) WITHIN GROUP (ORDER BY a), mode() WITHIN GROUP (ORDER BY a) FROM t
SELECT '{"x": {"y": [1, 2]}}'::jsonb -> 'x' ->> 'y', '{"x": 1}'::jsonb #>> '{x}', '{"x": 1}'::jsonb @> '{"x": 1}', '{"x": 1}'::jsonb ? 'x'
SELECT a, rank() OVER (ORDER BY c DESC NULLS LAST), lag(a, 1, 0) OVER (PARTITION BY b ORDER BY a ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t ORDER BY 1, 2
SELECT position('s' in b), substring(b from 1 for 2), substring(b from 'i.'), trim(both 'x' from b), overlay(b placing 'zz' from 1 for 1), left(b, 1) FROM t ORDER BY a, b
SELECT a IS DISTINCT FROM 1, a BETWEEN SYMMETRIC 3 AND 1, (a, b) IN ((1, 'x')), a = ANY (ARRAY[1, 2]), a <> ALL (ARRAY[1]) FROM t ORDER BY a, b
SELECT g, d.d::date FROM generate_series(1, 3) g, generate_series(date '2020-01-01', date '2020-03-01', interval '1 month') d(d)
SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS v(n, s) ORDER BY n DESC
SELECT a, sum(c) FROM t GROUP BY ROLLUP (a) ORDER BY a NULLS FIRST
SELECT DISTINCT ON (a) a, b FROM t ORDER BY a, b DESC NULLS LAST
SELECT x.n FROM t CROSS JOIN LATERAL (SELECT t.a + 1 AS n) x ORDER BY n
SELECT (ARRAY[1, 2, 3])[2], (ARRAY[1, 2, 3])[1:2], array_length(ARRAY[1, 2], 1), unnest(ARRAY[1, 2])
SELECT to_tsvector('english', 'sales dropped') @@ to_tsquery('english', 'drop')
SELECT timestamp '2020-01-01 00:00' AT TIME ZONE 'UTC' AT TIME ZONE 'Asia/Tokyo', b COLLATE "C", 5 # 3, ~5, 1 << 3, 7 & 2 FROM t ORDER BY a, b
SELECT a FROM t EXCEPT ALL SELECT a FROM u
SELECT a FROM t INTERSECT SELECT a FROM u
SELECT a FROM t ORDER BY a OFFSET 1 FETCH FIRST 2 ROWS ONLY
SELECT coalesce(b, 'none') || '!', greatest(1, 2), nullif(a, 1), bool_or(a > 1) OVER () FROM t ORDER BY a, b
SELECT width_bucket(5, 0, 10, 5), round(2.567, 2), trunc(2.567, 1), power(2, 3), mod(7, 3), 7 % 3, -7 / 2, 5 - -3, 5 - -3
SELECT ceil(c), floor(c), ceiling(c), initcap(b) FROM t ORDER BY a, b
SELECT ARRAY(SELECT a FROM u WHERE a IS NOT NULL ORDER BY a), array_to_string(ARRAY[[1, 2], [3, 4]], ',')
SELECT sum(a) OVER (ORDER BY a GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING EXCLUDE CURRENT ROW) FROM t ORDER BY 1
SELECT '{"x": 1}'::jsonb @? '$.x', '{"x": 1}'::jsonb - 'x', '{"x": {"y": 1}}'::jsonb #- '{x,y}'
WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT sum(i) FROM n
WITH RECURSIVE r(a, path) AS (SELECT a, ARRAY[a] FROM u WHERE a = 1 UNION ALL SELECT t.a, path || t.a FROM t JOIN r ON t.a = r.a + 1 WHERE NOT t.a = ANY (path)) SELECT * FROM r ORDER BY a
SELECT a, b, count(*) FROM t GROUP BY GROUPING SETS ((a, b), (a), ()) ORDER BY 1 NULLS FIRST, 2 NULLS FIRST
SELECT a, grouping(a), count(*) FROM t GROUP BY CUBE (a) ORDER BY 1 NULLS FIRST
SELECT avg(a) OVER w, first_value(b) OVER w FROM t WINDOW w AS (PARTITION BY a ORDER BY c NULLS LAST) ORDER BY 1, 2
SELECT b FROM t WHERE b LIKE ANY (ARRAY['x%', 'i%']) ORDER BY b
SELECT (date '2020-01-01', date '2020-02-01') OVERLAPS (date '2020-01-15', date '2020-03-01')
SELECT k, v FROM jsonb_each_text('{"x": 1}'::jsonb) AS e(k, v)
SELECT json_agg(q ORDER BY a) FROM (SELECT a FROM u WHERE a IS NOT NULL) q
-- mariadb
SELECT a / 2, a DIV 2, a % 2, a MOD 2, MOD(a, 2), POW(a, 2), LOG10(100), LOG(2, 8), TRUNCATE(2.567, 1) FROM t
SELECT 'a\'b', 'a\\b', "x""y", 'c''d', 'a\nb', 'a\%b', 'x' 'y', 0x41, X'41', b'01', N'z'
SELECT STDDEV(a), VARIANCE(a), STD(a), STDDEV_SAMP(a), VAR_POP(a), GROUP_CONCAT(DISTINCT b ORDER BY b DESC SEPARATOR '; ') FROM t
SELECT DATE_FORMAT('2020-05-06', '%Y-%m'), DATE_ADD('2020-01-31', INTERVAL 1 MONTH), '2020-01-01' - INTERVAL 1 DAY, TIMESTAMPDIFF(DAY, '2020-01-01', '2020-03-01')
SELECT YEAR('2020-05-06'), MONTHNAME('2020-05-06'), WEEK('2020-05-06'), DAYOFWEEK('2020-05-06'), QUARTER('2020-05-06'), LAST_DAY('2020-02-01'), DATEDIFF('2020-03-01', '2020-02-01')
SELECT STR_TO_DATE('06,5,2020', '%d,%m,%Y'), UNIX_TIMESTAMP('2020-05-06'), FROM_UNIXTIME(0), EXTRACT(YEAR FROM '2020-05-06'), DATE('2020-05-06 10:00:00')
SELECT b REGEXP '^x', b RLIKE '^i', b LIKE 'X', b NOT LIKE '%\'%', BINARY b = 'X' FROM t ORDER BY a, b
SELECT IF(a > 1, 'y', 'n'), IFNULL(b, 'none'), NULLIF(a, 1), a <=> NULL, a XOR 1, NOT a, a IS TRUE, ISNULL(b) FROM t ORDER BY a, b
SELECT CAST(a AS CHAR), CAST('12' AS SIGNED), CAST(1.567 AS DECIMAL(5, 1)), CONVERT(a, CHAR), CONVERT(b USING utf8mb4), CAST('2020-05-06' AS DATE), CAST('2020-05-06' AS DATETIME) FROM t ORDER BY a, b
SELECT CONCAT_WS('-', a, b), LENGTH(b), CHAR_LENGTH(b), SUBSTRING(b, 1, 2), SUBSTRING(b FROM 2), LEFT(b, 1), LOCATE('s', b), INSTR(b, 's'), LPAD(a, 3, '0'), REVERSE(b), SUBSTRING_INDEX('a.b.c', '.', 2) FROM t ORDER BY a, b
SELECT a, SUM(c) FROM t GROUP BY a WITH ROLLUP
SELECT a, ROW_NUMBER() OVER (ORDER BY c DESC, a), LAG(a) OVER (ORDER BY a ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t ORDER BY a, c
SELECT JSON_EXTRACT('{"x": [1, 2]}', '$.x[0]'), JSON_UNQUOTE(JSON_EXTRACT('{"x": "y"}', '$.x')), JSON_VALUE('{"x": 1}', '$.x')
SELECT `a`, t.`b` FROM `t` ORDER BY a, b LIMIT 1, 2
SELECT 5 - -3, 5--3
SELECT 1 # comment
SELECT FIELD('b', 'a', 'b'), ELT(2, 'a', 'b'), FIND_IN_SET('b', 'a,b'), FORMAT(1234.5, 2), CHAR(65), ORD('A'), HEX(255), CONV('a', 16, 2)
SELECT a FROM t EXCEPT SELECT a FROM u
SELECT TRIM(BOTH 'x' FROM b), TRIM(b), MID(b, 1, 1), UCASE(b), POSITION('s' IN b) FROM t ORDER BY a, b
SELECT 7 & 2, 7 | 8, 5 ^ 3, ~1, 1 << 3, -7 DIV 2, 1e3, .5, 1.0
SELECT CEIL(c), FLOOR(c), CEILING(c) FROM t ORDER BY a, c
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT SUM(i) FROM n
WITH RECURSIVE r AS (SELECT a FROM u WHERE a = 1 UNION SELECT t.a FROM t JOIN r ON t.a = r.a + 1) SELECT a FROM r ORDER BY a
SELECT a, SUM(a > 1), COUNT(IF(a > 1, 1, NULL)) FROM t GROUP BY a ORDER BY a IS NULL, a DESC
SELECT ADDDATE('2020-01-01', 5), SUBDATE('2020-01-01', INTERVAL 1 WEEK), TIMESTAMPADD(MONTH, 1, '2020-01-31'), YEARWEEK('2020-01-01', 1)
SELECT b FROM t WHERE b SOUNDS LIKE 'x' ORDER BY b
