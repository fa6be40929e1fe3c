-- name: statements_of_ticket
SELECT authority, digest, statement, key_id, signature, kind, issuer, ticket, scope, number, epoch,
       recorded
FROM statements
WHERE authority = :authority AND ticket = :ticket
ORDER BY recorded, scope, number, epoch, digest
LIMIT :limit;

-- name: tickets_between
SELECT DISTINCT ticket
FROM custody_rows
WHERE authority = :authority AND recorded >= :since AND recorded < :until AND ticket > :after
ORDER BY ticket
LIMIT :limit;

-- name: entry_over
SELECT authority, sequence, previous_digest, root, row_count, up_to_txid, entry_digest, key_id,
       signature, recorded
FROM ledger_entries
WHERE authority = :authority AND up_to_txid >= :txid
ORDER BY sequence
LIMIT 1;

-- name: entry_before
SELECT authority, sequence, previous_digest, root, row_count, up_to_txid, entry_digest, key_id,
       signature, recorded
FROM ledger_entries
WHERE authority = :authority AND sequence < :sequence
ORDER BY sequence DESC
LIMIT 1;

-- name: entries_between
SELECT authority, sequence, previous_digest, root, row_count, up_to_txid, entry_digest, key_id,
       signature, recorded
FROM ledger_entries
WHERE authority = :authority AND sequence >= :first AND sequence <= :last
ORDER BY sequence
LIMIT :limit;

-- name: leaves_between
SELECT row_digest, ticket, scope, number, sequence, txid
FROM custody_rows
WHERE authority = :authority AND txid > :after AND txid <= :last
ORDER BY txid, ticket, scope, number, sequence
LIMIT :limit;

-- name: receipts_of_ticket
SELECT source, ticket, target, statement_digest, receipt, recorded
FROM receipts
WHERE source = :source AND ticket = :ticket
ORDER BY target, statement_digest;

-- name: stamps_from
SELECT authority, sequence, response, stamped, recorded
FROM ledger_stamps
WHERE authority = :authority AND sequence >= :first
ORDER BY sequence
LIMIT :limit;

-- name: last_stamp
SELECT authority, sequence, response, stamped, recorded
FROM ledger_stamps
WHERE authority = :authority
ORDER BY sequence DESC
LIMIT 1;
