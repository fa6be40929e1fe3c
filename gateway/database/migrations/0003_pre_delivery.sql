-- Delivery: what waits for a peer's receipt, what was answered to peers, what peers did wrong.

CREATE TABLE outbox (
    position bigserial PRIMARY KEY,
    node text NOT NULL,
    source text NOT NULL,
    target text NOT NULL,
    ticket text NOT NULL,
    kind text NOT NULL,
    statement_digest bytea NOT NULL,
    envelope bytea NOT NULL,
    sequence bigint NOT NULL DEFAULT 0,
    created timestamptz NOT NULL,
    not_before timestamptz NOT NULL
);
CREATE INDEX outbox_due ON outbox (node, position);

CREATE TABLE outbox_sequences (
    source text NOT NULL,
    target text NOT NULL,
    sequence bigint NOT NULL,
    PRIMARY KEY (source, target)
);

CREATE TABLE inbox (
    target text NOT NULL,
    statement_digest bytea NOT NULL,
    source text NOT NULL,
    kind text NOT NULL,
    ticket text NOT NULL,
    sequence bigint NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('received', 'refused')),
    receipt bytea NOT NULL,
    recorded timestamptz NOT NULL,
    PRIMARY KEY (target, statement_digest)
);

CREATE TABLE refusals_received (
    statement_digest bytea NOT NULL,
    target text NOT NULL,
    source text NOT NULL,
    ticket text NOT NULL,
    kind text NOT NULL,
    reason text NOT NULL,
    envelope bytea NOT NULL,
    receipt bytea NOT NULL,
    recorded timestamptz NOT NULL,
    PRIMARY KEY (target, statement_digest)
);

CREATE TABLE evidence (
    statement_digest bytea NOT NULL,
    target text NOT NULL,
    source text NOT NULL,
    ticket text NOT NULL,
    kind text NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    envelope bytea NOT NULL,
    recorded timestamptz NOT NULL,
    PRIMARY KEY (target, statement_digest)
);
