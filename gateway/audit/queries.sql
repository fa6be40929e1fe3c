-- name: audit_after
SELECT position, txid, time, principal, role, act, subject, basis, purpose, outcome
FROM audit_entries
WHERE txid < :horizon AND (txid, position) > (:txid::bigint, :position::bigint)
ORDER BY txid, position
LIMIT :limit::bigint

-- name: audit_range
SELECT position, txid, time, principal, role, act, subject, basis, purpose, outcome
FROM audit_entries
WHERE (txid, position) > (:first_txid::bigint, :first_position::bigint)
  AND (txid, position) <= (:last_txid::bigint, :last_position::bigint)
ORDER BY txid, position
LIMIT :limit::bigint

-- name: audit_seals_after
SELECT number, time, first_txid, first_position, last_txid, last_position, entries,
       previous_digest, digest
FROM audit_seals
WHERE number > :number::bigint
ORDER BY number
LIMIT :limit::bigint

-- name: audit_last_seal
SELECT number, time, first_txid, first_position, last_txid, last_position, entries,
       previous_digest, digest
FROM audit_seals
ORDER BY number DESC
LIMIT 1
