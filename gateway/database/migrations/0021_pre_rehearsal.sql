-- Past decisions, so that a draft can be tried on them and each can be replayed as of its moment.
-- Nothing here is personal: facts of routing hold codes only (docs/rehearsal.md#history).

CREATE TABLE route_settings (
    digest text PRIMARY KEY, -- SHA-256 of the rest, hexadecimal
    hosted jsonb NOT NULL,
    joined jsonb NOT NULL,
    packs jsonb NOT NULL,
    reference text NOT NULL
);

CREATE TABLE route_decisions (
    position bigserial PRIMARY KEY,
    authority text NOT NULL,
    ticket text NOT NULL,
    decide_time timestamptz NOT NULL,
    setting text NOT NULL REFERENCES route_settings (digest) DEFERRABLE INITIALLY DEFERRED,
    facts bytea NOT NULL,
    states jsonb NOT NULL,
    action bigint NOT NULL,
    target text NOT NULL,
    rule text NOT NULL,
    pack text NOT NULL,
    trace_digest bytea NOT NULL
);
CREATE INDEX route_decisions_time ON route_decisions (authority, decide_time, position);
CREATE INDEX route_decisions_ticket ON route_decisions (authority, ticket, position);
