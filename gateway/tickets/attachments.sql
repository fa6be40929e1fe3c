-- name: attachments_of_ticket
SELECT authority, ticket, digest, size, stored_size, state, source, attempts, mismatches,
       not_before, update_time
FROM attachments
WHERE authority = :authority AND ticket = :ticket
ORDER BY digest;

-- name: attachments_waiting
SELECT authority, ticket, digest, size, stored_size, state, source, attempts, mismatches,
       not_before, update_time
FROM attachments
WHERE state = :state AND not_before <= :now
ORDER BY not_before, digest
LIMIT :limit;
