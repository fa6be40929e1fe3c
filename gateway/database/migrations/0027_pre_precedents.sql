-- Precedents: what a ruling said for all cases with its key, in words of roles, not of places.
CREATE TABLE precedents (
    scope text NOT NULL,
    case_id text NOT NULL, -- the case whose ruling set it
    ruling bigint NOT NULL,
    matter text NOT NULL,
    type bigint NOT NULL,
    relation text NOT NULL, -- whose area the place is in
    levels text NOT NULL, -- of the parties
    role text NOT NULL, -- who has it
    legal_basis text NOT NULL,
    state text NOT NULL CHECK (state IN ('active', 'superseded', 'revoked')),
    since timestamptz NOT NULL,
    expires timestamptz NOT NULL,
    applied bigint NOT NULL, -- cases that it decided
    ended timestamptz,
    ended_by text NOT NULL,
    PRIMARY KEY (scope, case_id)
);
CREATE INDEX precedents_matter ON precedents (scope, matter);
