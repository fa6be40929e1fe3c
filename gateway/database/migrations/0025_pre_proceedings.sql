-- The procedure of a case: until when its stage lasts, and what the parties and the panel said.
ALTER TABLE cases
    ADD COLUMN stage_due timestamptz,
    ADD COLUMN stage_due_provisional boolean NOT NULL DEFAULT false;

CREATE TABLE case_entries (
    scope text NOT NULL,
    case_id text NOT NULL,
    number bigint NOT NULL,
    kind bigint NOT NULL CHECK (kind BETWEEN 1 AND 4), -- CaseEntry.Kind
    party text NOT NULL, -- the authority that speaks
    author text NOT NULL,
    proposed text NOT NULL, -- whose it is, in the eyes of a party
    legal_basis text NOT NULL,
    attendees jsonb NOT NULL, -- of a conference: codes of authorities and kinds of bodies
    evidence jsonb NOT NULL, -- SHA-256 of files that the party keeps
    upheld boolean, -- of an answer: whether the ruling stands
    said timestamptz NOT NULL,
    words bytea NOT NULL, -- sealed with the key of the case (I10)
    PRIMARY KEY (scope, case_id, number)
);
