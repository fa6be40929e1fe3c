-- Heads of the ledgers of others, lives of a node, and what its peers return after a restore.

-- This node: its incarnation rises with every restore from a backup; while it is recovering it
-- signs nothing, until a person has confirmed.
CREATE TABLE node_state (
    node text NOT NULL,
    incarnation bigint NOT NULL CHECK (incarnation >= 1),
    mode text NOT NULL CHECK (mode IN ('serving', 'recovering', 'applying')),
    -- what was kept before this instant is in the backup
    since timestamptz NOT NULL,
    changed timestamptz NOT NULL,
    confirmed_by text NOT NULL,
    PRIMARY KEY (node)
);

-- Other nodes: the greatest incarnation seen; what comes from an older one is refused.
CREATE TABLE peer_incarnations (
    node text NOT NULL,
    incarnation bigint NOT NULL,
    PRIMARY KEY (node)
);

-- The newest entry known of each authority's ledger; `entry` is a serialised LedgerEntry.
CREATE TABLE peer_heads (
    authority text NOT NULL,
    node text NOT NULL,
    incarnation bigint NOT NULL,
    sequence bigint NOT NULL,
    entry_digest bytea NOT NULL,
    entry bytea NOT NULL,
    checked timestamptz NOT NULL,
    PRIMARY KEY (authority)
);

-- Heads that do not extend the one known before; both are kept for ever.
CREATE TABLE head_findings (
    authority text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('forked', 'shortened', 'unlinked', 'restored')),
    sequence bigint NOT NULL,
    shown_digest bytea NOT NULL,
    known bytea NOT NULL,
    shown bytea NOT NULL,
    detail text NOT NULL,
    found timestamptz NOT NULL,
    PRIMARY KEY (authority, kind, sequence, shown_digest)
);

-- Which peers have returned what they hold.
CREATE TABLE recovery_peers (
    node text NOT NULL,
    -- when it first knew the new incarnation
    announced timestamptz,
    complete boolean NOT NULL,
    statements bigint NOT NULL,
    waived_by text NOT NULL,
    PRIMARY KEY (node)
);

-- Verified statements that peers returned and that are not applied yet.
CREATE TABLE recovered (
    authority text NOT NULL,
    digest bytea NOT NULL,
    statement bytea NOT NULL,
    key_id text NOT NULL,
    signature bytea NOT NULL,
    kind text NOT NULL,
    issuer text NOT NULL,
    ticket text NOT NULL,
    source text NOT NULL,
    attempts bigint NOT NULL,
    -- content beside it, sealed to the authority; empty when the peer has none
    block bytea NOT NULL,
    PRIMARY KEY (authority, digest)
);
CREATE INDEX recovered_ticket ON recovered (ticket);

-- What recovery could not decide: a person looks at it.
CREATE TABLE recovery_items (
    authority text NOT NULL,
    ticket text NOT NULL,
    scope text NOT NULL,
    number bigint NOT NULL,
    what text NOT NULL,
    detail text NOT NULL,
    found timestamptz NOT NULL,
    PRIMARY KEY (authority, ticket, scope, number, what)
);
