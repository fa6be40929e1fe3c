-- Answers already given, by the caller's request id (idempotency.py).
CREATE TABLE requests (
    principal text NOT NULL,
    request_id text NOT NULL,
    method text NOT NULL,
    body_digest bytea NOT NULL,
    response bytea NOT NULL,
    created timestamptz NOT NULL,
    PRIMARY KEY (principal, request_id)
);
CREATE INDEX requests_created ON requests (created);

-- Durable timers, deleted in the unit that handles them (timers.py).
CREATE TABLE timers (
    kind text NOT NULL,
    key text NOT NULL,
    due timestamptz NOT NULL,
    PRIMARY KEY (kind, key)
);
CREATE INDEX timers_due ON timers (due);
