-- What parties signed in disputes, and the stream of changes of cases.

CREATE TABLE case_statements (
    authority text NOT NULL, -- who keeps it: the arbiter, or the party that said it
    scope text NOT NULL,
    case_id text NOT NULL,
    digest bytea NOT NULL,
    kind text NOT NULL, -- Position or Objection
    party text NOT NULL,
    statement bytea NOT NULL, -- exact bytes: codes, clauses and a commitment, no words
    key_id text NOT NULL,
    signature bytea NOT NULL,
    recorded timestamptz NOT NULL,
    PRIMARY KEY (authority, scope, case_id, digest)
);

CREATE TABLE case_changes (
    position bigserial PRIMARY KEY,
    txid bigint NOT NULL,
    authority text NOT NULL, -- whose staff is told
    scope text NOT NULL,
    case_id text NOT NULL,
    revision bigint NOT NULL
);
CREATE INDEX case_changes_stream ON case_changes (authority, txid, position);

-- What units gave back, by when the ticket came: the figures of disputes read only such tickets.
CREATE INDEX ticket_copies_returned ON ticket_copies (authority, create_time)
    WHERE returns <> '[]';
-- Cases of a scope by when they were filed.
CREATE INDEX cases_filed ON cases (scope, filed);
