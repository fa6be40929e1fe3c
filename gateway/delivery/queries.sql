-- name: outbox_due
SELECT o.position, o.node, o.source, o.target, o.ticket, o.kind, o.statement_digest, o.envelope,
       COALESCE(n.sequence, o.sequence) AS sequence, o.created, o.not_before
FROM outbox o LEFT JOIN outbox_numbers n ON n.position = o.position
WHERE o.node = :node AND o.not_before <= :now
ORDER BY o.not_before, o.position
LIMIT :limit;

-- name: outbox_next
SELECT o.position, o.node, o.source, o.target, o.ticket, o.kind, o.statement_digest, o.envelope,
       COALESCE(n.sequence, o.sequence) AS sequence, o.created, o.not_before
FROM (
    SELECT w.*, sum(octet_length(w.envelope)) OVER (ORDER BY w.not_before, w.position) AS size
    FROM (
        SELECT * FROM outbox
        WHERE node = :node AND not_before <= :now AND created <= :until
          AND (not_before, position) > (:after_time, :after_position)
        ORDER BY not_before, position
        LIMIT :limit
    ) w
) o LEFT JOIN outbox_numbers n ON n.position = o.position
WHERE o.size - octet_length(o.envelope) < :bytes
ORDER BY o.not_before, o.position;

-- name: outbox_nodes
WITH RECURSIVE queue(node) AS (
    (SELECT o.node FROM outbox o ORDER BY o.node LIMIT 1)
    UNION ALL
    SELECT (SELECT o.node FROM outbox o WHERE o.node > q.node ORDER BY o.node LIMIT 1)
    FROM queue q WHERE q.node IS NOT NULL
)
SELECT node FROM queue WHERE node IS NOT NULL ORDER BY node;

-- name: outbox_queues
WITH RECURSIVE queue(node) AS (
    (SELECT o.node FROM outbox o ORDER BY o.node LIMIT 1)
    UNION ALL
    SELECT (SELECT o.node FROM outbox o WHERE o.node > q.node ORDER BY o.node LIMIT 1)
    FROM queue q WHERE q.node IS NOT NULL
)
SELECT q.node,
       (SELECT count(*) FROM (SELECT 1 FROM outbox w WHERE w.node = q.node LIMIT :bound) c)
           AS waiting,
       (SELECT o.created FROM outbox o WHERE o.node = q.node ORDER BY o.position LIMIT 1) AS oldest
FROM queue q WHERE q.node IS NOT NULL ORDER BY q.node;

-- name: outbox_oldest
SELECT o.position, o.node, o.source, o.target, o.ticket, o.kind, o.statement_digest,
       ''::bytea AS envelope, o.sequence, o.created, o.not_before
FROM outbox o
WHERE o.node = :node
ORDER BY o.position
LIMIT :limit;

-- name: peer_controls
SELECT node, mode, reason, actor, changed FROM peer_controls ORDER BY node;

-- name: peer_contacts
SELECT node, reached, heard FROM peer_contacts ORDER BY node;

-- name: evidence_since
SELECT source, count(*) AS items, COALESCE(sum(octet_length(envelope)), 0)::bigint AS bytes
FROM (
    SELECT source, envelope FROM evidence
    WHERE source = :source AND recorded >= :since LIMIT :limit
) e
GROUP BY source;

-- name: undelivered_listed
SELECT item, kind, state, node, source, target, ticket, statement_kind, statement_digest, reason,
       waiting, since, position, sequence, ''::bytea AS envelope, created, changed, actor, note
FROM undelivered
WHERE (created, item) > (:after_time, :after_item)
  AND (:everything::boolean OR state IN ('open', 'acknowledged'))
  AND (:node = '' OR node = :node)
ORDER BY created, item
LIMIT :limit;

-- name: undelivered_pending
SELECT kind, node, count(*) AS items
FROM undelivered
WHERE state IN ('open', 'acknowledged')
GROUP BY kind, node
ORDER BY kind, node
LIMIT :limit;

-- name: undelivered_of_kind
SELECT item, kind, state, node, source, target, ticket, statement_kind, statement_digest, reason,
       waiting, since, position, sequence, envelope, created, changed, actor, note
FROM undelivered
WHERE state IN ('open', 'acknowledged') AND kind = :kind
ORDER BY item
LIMIT :limit;

-- name: stuck_no_more
SELECT item, kind, state, node, source, target, ticket, statement_kind, statement_digest, reason,
       waiting, since, position, sequence, envelope, created, changed, actor, note
FROM undelivered u
WHERE u.kind = 'stuck' AND u.state IN ('open', 'acknowledged')
  AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.position = u.position)
ORDER BY u.item
LIMIT :limit;
