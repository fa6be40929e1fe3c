-- name: chains_filing_due
SELECT authority, ticket, scope, number, origin, genesis_digest, holding, term_epoch, floor_epoch,
       ruling, ruling_target, ruling_statement, offers_allowed, mandates, pending_epoch, path,
       hops, refusals, homeward, case_id, desk, chain_head, ledger_rows, record_digest, custodian,
       contact, release_due, filing_due, content_due, closed, parties, records, update_sequence, shown_epoch,
       shown_sequence
FROM chains
WHERE filing_due
ORDER BY authority, ticket
LIMIT :limit;

-- name: invitations_of_authority
SELECT authority, ticket, scope, number, epoch, source, offer_digest, received, window_end,
       case_block, stand_by_until, decider, asked, asked_at, told, inquiry
FROM invitations
WHERE authority = :authority AND (:ticket = '' OR ticket = :ticket) AND ticket > :after
ORDER BY ticket, scope, number
LIMIT :limit;

-- name: rows_of_ticket
SELECT authority, ticket, scope, number, sequence, txid, previous_digest, kind, epoch,
       subject_digest, state_digest, row_digest, holding, recorded
FROM custody_rows
WHERE authority = :authority AND ticket = :ticket AND (scope, number, sequence) > (:scope, :number, :sequence)
ORDER BY scope, number, sequence
LIMIT :limit;

-- name: rows_after
SELECT authority, ticket, scope, number, sequence, txid, previous_digest, kind, epoch,
       subject_digest, state_digest, row_digest, holding, recorded
FROM custody_rows
WHERE authority = :authority AND txid > :txid AND txid < :horizon
ORDER BY txid, ticket, scope, number, sequence
LIMIT :limit;

-- name: last_entry
SELECT authority, sequence, previous_digest, root, row_count, up_to_txid, entry_digest, key_id,
       signature, recorded
FROM ledger_entries
WHERE authority = :authority
ORDER BY sequence DESC
LIMIT 1;

-- name: statements_said
SELECT authority, digest, statement, key_id, signature, kind, issuer, ticket, scope, number, epoch,
       recorded
FROM statements
WHERE authority = :authority AND ticket = :ticket AND scope = :scope AND number = :number
  AND issuer = :issuer AND kind = :kind
ORDER BY epoch, recorded, digest;

-- name: rulings_of_chain
SELECT scope, ticket, chain, number, kind, case_id, target, ticket_uid, last_record,
       statement_digest, taken_digest, told, fenced, issued
FROM rulings
WHERE scope = :scope AND ticket = :ticket AND chain = :chain
ORDER BY number;

-- name: ruling_answers_of_chain
SELECT scope, ticket, chain, number, authority, role, successor, answer_digest
FROM ruling_answers
WHERE scope = :scope AND ticket = :ticket AND chain = :chain
ORDER BY number, authority;

-- name: openings_of_ticket
SELECT authority, ticket, statement_digest, kind, sealed
FROM openings
WHERE authority = :authority AND ticket = :ticket
ORDER BY statement_digest, kind;
