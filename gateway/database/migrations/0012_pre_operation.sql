-- Operation of delivery: how peers are served, what was heard of them, what waits for a person.

-- In the order in which a sender takes rows; what is deferred moves back by itself. The older index
-- (node, position) stays: it finds the nodes that have a queue and the oldest row of each.
CREATE INDEX outbox_ready ON outbox (node, not_before, position);

-- The sequence number given to a row at its first sending. Apart from `outbox`, because an update
-- there would write the whole envelope once more.
CREATE TABLE outbox_numbers (
    position bigint PRIMARY KEY,
    sequence bigint NOT NULL
);

-- What a person ordered for a peer; no row: open.
CREATE TABLE peer_controls (
    node text PRIMARY KEY,
    mode text NOT NULL CHECK (mode IN ('open', 'paused', 'draining')),
    reason text NOT NULL,
    actor text NOT NULL,
    changed timestamptz NOT NULL
);

-- When a peer was last reached and last heard of; written now and then, not with each envelope.
CREATE TABLE peer_contacts (
    node text PRIMARY KEY,
    reached timestamptz,
    heard timestamptz
);

-- What a person must look at. An item is never removed; its state ends.
CREATE TABLE undelivered (
    item text PRIMARY KEY,
    kind text NOT NULL,
    state text NOT NULL,
    node text NOT NULL,
    source text NOT NULL,
    target text NOT NULL,
    ticket text NOT NULL,
    statement_kind text NOT NULL,
    statement_digest bytea NOT NULL,
    reason text NOT NULL,
    waiting bigint NOT NULL,
    since timestamptz NOT NULL,
    position bigint NOT NULL,
    sequence bigint NOT NULL,
    envelope bytea NOT NULL,
    created timestamptz NOT NULL,
    changed timestamptz NOT NULL,
    actor text NOT NULL,
    note text NOT NULL
);
CREATE INDEX undelivered_listed ON undelivered (created, item);
CREATE INDEX undelivered_pending ON undelivered (kind, node, item) WHERE state IN ('open', 'acknowledged');
CREATE INDEX evidence_of_source ON evidence (source, recorded);

-- What was refused, and what peers did wrong, before there was a list for people.
INSERT INTO undelivered
SELECT 'refused-' || target || '-' || left(encode(statement_digest, 'hex'), 32), 'refused', 'open', '',
       source, target, ticket, kind, statement_digest, reason, 1, recorded, 0, 0, envelope,
       recorded, recorded, '', ''
FROM refusals_received
ON CONFLICT DO NOTHING;
INSERT INTO undelivered
SELECT 'evidence-' || target || '-' || left(encode(statement_digest, 'hex'), 32), 'evidence', 'open', '',
       source, target, ticket, kind, statement_digest, reason, 1, recorded, 0, 0, ''::bytea,
       recorded, recorded, '', ''
FROM evidence
ON CONFLICT DO NOTHING;
