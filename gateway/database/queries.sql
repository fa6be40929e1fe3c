-- name: timers_due
SELECT kind, key, due
FROM timers
WHERE kind = ANY(:kinds::text[]) AND due <= :now::timestamptz
ORDER BY due, kind, key
LIMIT :limit::bigint

-- name: requests_before
SELECT principal, request_id
FROM requests
WHERE created < :cutoff::timestamptz
ORDER BY created, principal, request_id
LIMIT :limit::bigint

-- name: workers_all
SELECT holder, until
FROM workers
ORDER BY holder

-- name: leases_all
SELECT name, holder
FROM leases
ORDER BY name

-- name: database_clock
SELECT clock_timestamp() AS present
