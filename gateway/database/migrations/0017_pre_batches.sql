-- What a batch of envelopes reads of many tickets at once.

-- A partial index on `parent <> ''` cannot serve it: the planner does not know that the parents
-- asked for are not empty.
CREATE INDEX ticket_copies_children ON ticket_copies (authority, parent);
DROP INDEX ticket_copies_parent;

-- The exclusive acts of an authority's own terms, as its ledger has them. The ledger's rows carry
-- the number of their transaction, so a unit of work could read its own only after writing them.
CREATE TABLE own_acts (
    authority text NOT NULL,
    ticket text NOT NULL,
    scope text NOT NULL,
    number bigint NOT NULL,
    epoch bigint NOT NULL,
    sequence bigint NOT NULL,
    kind text NOT NULL,
    digest bytea NOT NULL,
    PRIMARY KEY (authority, ticket, scope, number, epoch, sequence)
);
INSERT INTO own_acts (authority, ticket, scope, number, epoch, sequence, kind, digest)
SELECT authority, ticket, scope, number, epoch, sequence, substr(kind, 5), subject_digest
FROM custody_rows
WHERE kind LIKE 'act.%';
