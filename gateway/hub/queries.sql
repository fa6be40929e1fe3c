-- name: hub_reports_after
SELECT position, txid, province, day, sequence, digest, statement, key_id, signature, received
FROM hub_reports
WHERE txid < :horizon AND (txid, position) > (:txid::bigint, :position::bigint)
ORDER BY txid, position
LIMIT :limit::bigint

-- name: hub_newest_of_province
SELECT position, txid, province, day, sequence, digest, statement, key_id, signature, received
FROM hub_reports
WHERE province = :province
ORDER BY sequence DESC
LIMIT 1

-- name: hub_report_of_day
SELECT position, txid, province, day, sequence, digest, statement, key_id, signature, received
FROM hub_reports
WHERE province = :province AND day = :day::bigint

-- name: hub_reports_up_to
SELECT count(*) AS reports
FROM hub_reports
WHERE (txid, position) <= (:txid::bigint, :position::bigint)
