-- Named statements of the warehouse (DuckDB). A count is NULL when it was withheld.

-- name: make_cells
CREATE TABLE IF NOT EXISTS cells (
    province VARCHAR NOT NULL,
    day INTEGER NOT NULL,
    matter VARCHAR NOT NULL,
    count BIGINT,
    sequence BIGINT NOT NULL,
    threshold INTEGER NOT NULL,
    variance DOUBLE NOT NULL,
    PRIMARY KEY (province, day, matter)
)

-- name: make_loaded
CREATE TABLE IF NOT EXISTS loaded (txid BIGINT NOT NULL, position BIGINT NOT NULL)

-- name: clear_cells
DELETE FROM cells

-- name: clear_loaded
DELETE FROM loaded

-- name: cursor
SELECT txid, position FROM loaded

-- name: set_cursor
INSERT INTO loaded VALUES ($txid, $position)

-- name: add_cells
-- One statement a page, a list a column: a statement a cell is a thousand times slower.
INSERT OR IGNORE INTO cells
SELECT unnest($provinces::VARCHAR[]), unnest($days::INTEGER[]), unnest($matters::VARCHAR[]),
       unnest($counts::BIGINT[]), unnest($sequences::BIGINT[]), unnest($thresholds::INTEGER[]),
       unnest($variances::DOUBLE[])

-- name: reports
SELECT count(*) FROM (SELECT DISTINCT province, day FROM cells)

-- name: months
SELECT DISTINCT day // 100 FROM cells ORDER BY 1

-- name: extent
SELECT coalesce(min(day), 0), coalesce(max(day), 0)
FROM cells
WHERE $province = '' OR province = $province

-- name: map
SELECT province, matter, coalesce(sum(count), 0)::BIGINT, count(count),
       count(*) - count(count), coalesce(sum(variance) FILTER (count IS NOT NULL), 0)
FROM cells
WHERE day BETWEEN $first AND $last AND ($province = '' OR province = $province)
GROUP BY province, matter
ORDER BY province, matter

-- name: days
SELECT DISTINCT province, day
FROM cells
WHERE day BETWEEN $first AND $last AND ($province = '' OR province = $province)
ORDER BY province, day
