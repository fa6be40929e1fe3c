-- Evidence: what must be kept so that custody can be proved by files alone (docs/evidence.md).

-- The signed answer of a peer to a statement of ours, exactly as it came; kept as long as the ticket.
CREATE TABLE receipts (
    source text NOT NULL,
    ticket text NOT NULL,
    target text NOT NULL,
    statement_digest bytea NOT NULL,
    receipt bytea NOT NULL,
    recorded timestamptz NOT NULL,
    PRIMARY KEY (source, ticket, target, statement_digest)
);

-- A time stamp (RFC 3161) over the digest of an entry; it covers every entry before it.
CREATE TABLE ledger_stamps (
    authority text NOT NULL,
    sequence bigint NOT NULL,
    response bytea NOT NULL,
    stamped timestamptz NOT NULL,
    recorded timestamptz NOT NULL,
    PRIMARY KEY (authority, sequence)
);

-- What opens the commitments of a statement said here: block and salt, sealed with the data key of
-- the ticket's copy. Destroying that key destroys them (I10); the commitments stay.
CREATE TABLE openings (
    authority text NOT NULL,
    ticket text NOT NULL,
    statement_digest bytea NOT NULL,
    kind text NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (authority, ticket, statement_digest, kind)
);

-- Finds the tickets of a period; rows come in the order of time, so a BRIN index costs next to
-- nothing when they are written.
CREATE INDEX custody_rows_recorded ON custody_rows USING brin (recorded);
