-- name: report_counts
-- Each ticket once: at its province's own copy, which a city's ticket has too, since the city
-- reports it at birth; by when that copy was made, so that a closed day never changes. No children.
SELECT substr(matter, 1, 2) AS prefix, count(*) AS tickets
FROM ticket_copies
WHERE authority = :province
  AND substr(origin, 1, 2) = substr(:province, 1, 2)
  AND parent = ''
  AND create_time >= :begin::timestamptz AND create_time < :end::timestamptz
GROUP BY 1
ORDER BY 1

-- name: report_budget_spent
SELECT quarter, sum(epsilon_micro)::bigint AS spent
FROM report_budget
WHERE province = :province AND year = :year::bigint AND outcome = 'SPENT'
GROUP BY quarter
ORDER BY quarter

-- name: reports_newest
SELECT province, day, sequence, statement, key_id, signature, posted, created
FROM reports
WHERE province = :province AND sequence < :before::bigint
ORDER BY sequence DESC
LIMIT :limit::bigint

-- name: reports_waiting
SELECT province, day, sequence, statement, key_id, signature, posted, created
FROM reports
WHERE province = :province AND NOT posted
ORDER BY sequence
LIMIT :limit::bigint

-- name: report_budget_newest
SELECT position, province, year, quarter, day, epsilon_micro, outcome, actor, recorded
FROM report_budget
WHERE province = :province AND position < :before::bigint
ORDER BY position DESC
LIMIT :limit::bigint
