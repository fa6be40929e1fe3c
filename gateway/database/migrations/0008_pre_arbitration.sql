-- Cases at the arbiter of a scope: codes and authorities, never a text of the ticket (I7).
-- The reasons of a ruling are sealed with the case's own data key (I10).

CREATE TABLE cases (
    scope text NOT NULL,
    case_id text NOT NULL,
    revision bigint NOT NULL,
    ticket text NOT NULL,
    chain bigint NOT NULL,
    state bigint NOT NULL CHECK (state BETWEEN 1 AND 7),
    ground bigint NOT NULL CHECK (ground BETWEEN 1 AND 9),
    cause text NOT NULL,
    filers jsonb NOT NULL,
    path jsonb NOT NULL,
    proposed_targets jsonb NOT NULL,
    parties jsonb NOT NULL,
    responsible text NOT NULL,
    filed timestamptz NOT NULL,
    due timestamptz,
    due_provisional boolean NOT NULL,
    closed timestamptz,
    matter text NOT NULL,
    region text NOT NULL,
    urgency bigint NOT NULL,
    type bigint NOT NULL,
    ticket_due timestamptz,
    wrapped_key bytea NOT NULL,
    PRIMARY KEY (scope, case_id)
);
CREATE INDEX cases_newest ON cases (scope, filed DESC, case_id DESC);
CREATE INDEX cases_parties ON cases USING gin (parties jsonb_path_ops);
CREATE INDEX cases_chain ON cases (scope, ticket, chain);

CREATE TABLE case_rulings (
    scope text NOT NULL,
    case_id text NOT NULL,
    number bigint NOT NULL,
    kind bigint NOT NULL CHECK (kind BETWEEN 1 AND 5),
    target text NOT NULL,
    legal_basis text NOT NULL,
    offers_allowed boolean NOT NULL,
    mandates jsonb NOT NULL,
    ruler text NOT NULL,
    issued timestamptz NOT NULL,
    taken timestamptz,
    reasons bytea NOT NULL,
    PRIMARY KEY (scope, case_id, number)
);
