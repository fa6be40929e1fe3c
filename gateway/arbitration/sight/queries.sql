-- What panels and parties see besides the cases themselves.

-- name: case_changes_after
SELECT position, txid, authority, scope, case_id, revision, noted
FROM case_changes
WHERE authority = :authority
  AND txid < :horizon AND (txid, position) > (:txid::bigint, :position::bigint)
ORDER BY txid, position
LIMIT :limit::bigint

-- name: case_changes_old
SELECT position, txid, authority, scope, case_id, revision, noted
FROM case_changes
WHERE authority = :authority AND noted < :cutoff
ORDER BY txid, position
LIMIT :limit::bigint

-- name: case_changes_beyond
-- The newest are kept; what comes before them in the stream is too many.
SELECT position, txid, authority, scope, case_id, revision, noted
FROM case_changes
WHERE authority = :authority
ORDER BY txid DESC, position DESC
OFFSET :kept::bigint
LIMIT :limit::bigint

-- name: statements_of_way
-- The beginning of what was said about a ticket, which may be thousands with letters and progress.
SELECT authority, digest, statement, key_id, signature, kind, issuer, ticket, scope, number, epoch,
       recorded
FROM statements
WHERE authority = :authority AND ticket = :ticket
ORDER BY recorded, digest
LIMIT :limit::bigint

-- name: cases_filed_between
-- Those that an authority rules, and those of others on this node that it is a party of.
SELECT scope, case_id FROM cases
WHERE filed >= :since AND filed < :until
  AND (scope = :authority OR parties @> jsonb_build_array(:authority::text))
ORDER BY filed DESC, scope, case_id
LIMIT :limit::bigint

-- name: case_copies_filed_between
SELECT scope, case_id FROM case_copies
WHERE authority = :authority AND filed >= :since AND filed < :until
ORDER BY filed DESC, scope, case_id
LIMIT :limit::bigint

-- name: returns_filed_between
SELECT r->>'unit' AS unit, (r->>'state')::bigint AS state
FROM ticket_copies c, jsonb_array_elements(c.returns) r
WHERE c.authority = :authority AND c.returns <> '[]' AND NOT c.followed
  AND c.create_time >= :created AND c.create_time < :until
  AND (r->>'file_time')::bigint >= :since_micros::bigint
  AND (r->>'file_time')::bigint < :until_micros::bigint
ORDER BY 1, 2
LIMIT :limit::bigint
