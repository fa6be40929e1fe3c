-- Custody: one row per (authority, ticket, scope, chain); memory holds no truth.
-- An epoch is stored as era * 2^20 + count, which sorts like the pair.

CREATE TABLE chains (
    authority text NOT NULL,
    ticket text NOT NULL,
    scope text NOT NULL,
    number bigint NOT NULL,
    origin text NOT NULL,
    genesis_digest bytea NOT NULL,
    holding text NOT NULL
        CHECK (holding IN ('ABSENT', 'HELD', 'OFFERED', 'REVOKING', 'YIELDING', 'RELEASED')),
    term_epoch bigint,
    floor_epoch bigint,
    ruling bigint NOT NULL,
    ruling_target text,
    ruling_statement bytea NOT NULL,
    offers_allowed boolean NOT NULL,
    mandates jsonb NOT NULL,
    pending_epoch bigint,
    path jsonb NOT NULL,
    hops bigint NOT NULL,
    refusals bigint NOT NULL,
    homeward bigint NOT NULL,
    case_id text NOT NULL,
    desk text,
    chain_head bytea NOT NULL,
    ledger_rows bigint NOT NULL,
    record_digest bytea NOT NULL,
    custodian text,
    contact boolean NOT NULL,
    release_due text,
    filing_due boolean NOT NULL,
    closed boolean NOT NULL,
    parties jsonb NOT NULL,
    records jsonb NOT NULL,
    update_sequence bigint NOT NULL,
    shown_epoch bigint,
    shown_sequence bigint NOT NULL,
    PRIMARY KEY (authority, ticket, scope, number),
    -- the inner half of I2: who cares names exactly one unit or desk
    CONSTRAINT chains_desk_while_caring
        CHECK (holding IN ('ABSENT', 'RELEASED') OR desk IS NOT NULL),
    CONSTRAINT chains_pending_while_offered
        CHECK (holding NOT IN ('OFFERED', 'REVOKING') OR pending_epoch IS NOT NULL)
);
CREATE INDEX chains_filing_due ON chains (authority) WHERE filing_due;
CREATE INDEX chains_ticket ON chains (ticket);

CREATE TABLE offers_made (
    authority text NOT NULL,
    ticket text NOT NULL,
    scope text NOT NULL,
    number bigint NOT NULL,
    epoch bigint NOT NULL,
    target text NOT NULL,
    homeward boolean NOT NULL,
    statement_digest bytea NOT NULL,
    window_end timestamptz NOT NULL,
    verdict text NOT NULL
        CHECK (verdict IN ('PENDING', 'ACCEPTED', 'DECLINED', 'REVOKED', 'SUPERSEDED')),
    answer_digest bytea NOT NULL,
    reason bigint NOT NULL,
    clause text NOT NULL,
    proposed_owner text NOT NULL,
    PRIMARY KEY (authority, ticket, scope, number, epoch)
);

-- Kept as long as the ticket, never expired: one answer per epoch for ever.
CREATE TABLE offers_answered (
    authority text NOT NULL,
    ticket text NOT NULL,
    scope text NOT NULL,
    number bigint NOT NULL,
    epoch bigint NOT NULL,
    source text NOT NULL,
    offer_digest bytea NOT NULL,
    verdict text NOT NULL CHECK (verdict IN ('ACCEPTED', 'DECLINED', 'REVOKED', 'SUPERSEDED')),
    answer_digest bytea NOT NULL,
    PRIMARY KEY (authority, ticket, scope, number, epoch)
);

CREATE TABLE invitations (
    authority text NOT NULL,
    ticket text NOT NULL,
    scope text NOT NULL,
    number bigint NOT NULL,
    epoch bigint NOT NULL,
    source text NOT NULL,
    offer_digest bytea NOT NULL,
    received timestamptz NOT NULL,
    window_end timestamptz NOT NULL,
    -- still sealed to this authority; gone with the invitation, so a declined ticket leaves no text
    case_block bytea NOT NULL,
    PRIMARY KEY (authority, ticket, scope, number)
);
CREATE INDEX invitations_waiting ON invitations (authority, window_end);

CREATE TABLE custody_rows (
    authority text NOT NULL,
    ticket text NOT NULL,
    scope text NOT NULL,
    number bigint NOT NULL,
    sequence bigint NOT NULL,
    txid bigint NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),
    previous_digest bytea NOT NULL,
    kind text NOT NULL,
    epoch bigint NOT NULL,
    subject_digest bytea NOT NULL,
    state_digest bytea NOT NULL,
    row_digest bytea NOT NULL,
    holding text NOT NULL,
    recorded timestamptz NOT NULL,
    PRIMARY KEY (authority, ticket, scope, number, sequence)
);
CREATE INDEX custody_rows_order ON custody_rows (txid);

-- Exact bytes of every custody statement that this authority signed or took.
CREATE TABLE statements (
    authority text NOT NULL,
    digest bytea NOT NULL,
    statement bytea NOT NULL,
    key_id text NOT NULL,
    signature bytea NOT NULL,
    kind text NOT NULL,
    issuer text NOT NULL,
    ticket text NOT NULL,
    scope text NOT NULL,
    number bigint NOT NULL,
    epoch bigint NOT NULL,
    recorded timestamptz NOT NULL,
    PRIMARY KEY (authority, digest)
);
CREATE INDEX statements_identity
    ON statements (authority, ticket, scope, number, issuer, kind, epoch);

-- Exclusive acts of a city that its province recorded, once each, with or without outer force.
CREATE TABLE acts_recorded (
    authority text NOT NULL,
    ticket text NOT NULL,
    scope text NOT NULL,
    number bigint NOT NULL,
    actor text NOT NULL,
    act_row bigint NOT NULL,
    epoch bigint NOT NULL,
    kind text NOT NULL,
    digest bytea NOT NULL,
    has_force boolean NOT NULL,
    recorded timestamptz NOT NULL,
    PRIMARY KEY (authority, ticket, scope, number, actor, epoch, act_row)
);

-- The ledger of an authority: one signed entry over the rows since the entry before.
CREATE TABLE ledger_entries (
    authority text NOT NULL,
    sequence bigint NOT NULL,
    previous_digest bytea NOT NULL,
    root bytea NOT NULL,
    row_count bigint NOT NULL,
    up_to_txid bigint NOT NULL,
    entry_digest bytea NOT NULL,
    key_id text NOT NULL,
    signature bytea NOT NULL,
    recorded timestamptz NOT NULL,
    PRIMARY KEY (authority, sequence)
);
