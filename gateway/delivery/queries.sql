-- name: outbox_due
SELECT position, node, source, target, ticket, kind, statement_digest, envelope, sequence,
       created, not_before
FROM outbox
WHERE node = :node AND not_before <= :now
ORDER BY position
LIMIT :limit;

-- name: outbox_nodes
SELECT node, count(*) AS waiting, min(created) AS oldest
FROM outbox
GROUP BY node
ORDER BY node;
