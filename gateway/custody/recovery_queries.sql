-- name: peer_heads
SELECT authority, node, incarnation, sequence, entry_digest, entry, checked
FROM peer_heads
ORDER BY authority;

-- name: head_findings
SELECT authority, kind, sequence, shown_digest, known, shown, detail, found
FROM head_findings
ORDER BY found, authority, kind, sequence, shown_digest;

-- name: entries_from
SELECT authority, sequence, previous_digest, root, row_count, up_to_txid, entry_digest, key_id,
       signature, recorded
FROM ledger_entries
WHERE authority = :authority AND sequence >= :sequence
ORDER BY sequence
LIMIT :limit;

-- name: recovery_peers
SELECT node, announced, complete, statements, waived_by
FROM recovery_peers
ORDER BY node;

-- name: recovery_items
SELECT authority, ticket, scope, number, what, detail, found
FROM recovery_items
ORDER BY found, authority, ticket, scope, number, what;

-- name: statements_since
SELECT authority, digest, statement, key_id, signature, kind, issuer, ticket, scope, number, epoch,
       recorded
FROM statements
WHERE authority = :authority AND recorded >= :since AND digest > :after
ORDER BY digest
LIMIT :limit;

-- name: recovered_tickets
SELECT DISTINCT ticket
FROM recovered
WHERE ticket > :after
ORDER BY ticket
LIMIT :limit;

-- name: recovered_of_ticket
SELECT authority, digest, statement, key_id, signature, kind, issuer, ticket, source, attempts,
       block
FROM recovered
WHERE ticket = :ticket
ORDER BY authority, digest;
