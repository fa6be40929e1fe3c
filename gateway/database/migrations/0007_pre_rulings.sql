-- Rulings: the arbiter's numbered decisions about a chain, who was told, and who answered what.

-- Holds by a ruling, but the ticket's content is still on its way.
ALTER TABLE chains ADD COLUMN content_due boolean NOT NULL DEFAULT false;

CREATE TABLE rulings (
    scope text NOT NULL,
    ticket text NOT NULL,
    chain bigint NOT NULL,
    number bigint NOT NULL CHECK (number BETWEEN 1 AND 1024),
    kind bigint NOT NULL CHECK (kind BETWEEN 1 AND 5),
    case_id text NOT NULL,
    target text NOT NULL,
    ticket_uid text NOT NULL,
    last_record bytea NOT NULL,
    statement_digest bytea NOT NULL,
    -- empty until the target has the ticket
    taken_digest bytea NOT NULL,
    told jsonb NOT NULL,
    fenced boolean NOT NULL,
    issued timestamptz NOT NULL,
    PRIMARY KEY (scope, ticket, chain, number)
);

-- What each party answered; kept as long as the ruling.
CREATE TABLE ruling_answers (
    scope text NOT NULL,
    ticket text NOT NULL,
    chain bigint NOT NULL,
    number bigint NOT NULL,
    authority text NOT NULL,
    role bigint NOT NULL CHECK (role BETWEEN 1 AND 5),
    successor text NOT NULL,
    answer_digest bytea NOT NULL,
    PRIMARY KEY (scope, ticket, chain, number, authority)
);
