-- Precedents with facts and forms, the key of each case, and rules proposed by rulings.

ALTER TABLE precedents ADD COLUMN facts jsonb NOT NULL DEFAULT '[]'; -- `name=value` that count
ALTER TABLE precedents ADD COLUMN form bigint NOT NULL DEFAULT 0 CHECK (form BETWEEN 0 AND 7);
ALTER TABLE precedents ADD COLUMN parts jsonb NOT NULL DEFAULT '[]'; -- [seat, matter]

CREATE TABLE case_keys (
    scope text NOT NULL,
    case_id text NOT NULL,
    filed timestamptz NOT NULL,
    matter text NOT NULL,
    type bigint NOT NULL,
    relation text NOT NULL,
    levels text NOT NULL, -- kinds of the parties
    facts jsonb NOT NULL,
    precedent text NOT NULL, -- the case whose precedent decided this one, or nothing
    PRIMARY KEY (scope, case_id)
);
CREATE INDEX case_keys_filed ON case_keys (scope, filed, case_id);

CREATE TABLE rule_proposals (
    scope text NOT NULL,
    proposal text NOT NULL, -- `{case}.{ruling}`
    case_id text NOT NULL,
    ruling bigint NOT NULL,
    ruler text NOT NULL,
    state text NOT NULL
        CHECK (state IN ('preparing', 'open', 'impossible', 'accepted', 'declined', 'withdrawn')),
    revision bigint NOT NULL,
    made timestamptz NOT NULL,
    changed timestamptz NOT NULL,
    key jsonb NOT NULL, -- of the precedent
    pack text NOT NULL,
    base text NOT NULL, -- version of the pack that the rule was put into
    rule text NOT NULL, -- its id
    text text NOT NULL, -- the rule as the pack would have it
    examined bigint NOT NULL, -- past decisions that were decided again
    moved bigint NOT NULL,
    evidence bytea NOT NULL, -- `ProposalEvidence`: trials and findings
    obstacle text NOT NULL, -- why it cannot be a rule
    version text NOT NULL, -- of the draft that came of it
    decided_by text NOT NULL,
    reason text NOT NULL,
    PRIMARY KEY (scope, proposal)
);
CREATE INDEX rule_proposals_made ON rule_proposals (scope, made, proposal);
CREATE INDEX rule_proposals_case ON rule_proposals (scope, case_id);
CREATE INDEX rule_proposals_waiting ON rule_proposals (made) WHERE state = 'preparing';
