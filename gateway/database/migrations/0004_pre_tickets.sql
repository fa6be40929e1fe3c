-- Tickets: every authority's own copy, its sealed texts, assignments and events.
-- No index and no filter over a personal field; texts are encrypted with a key per copy.

CREATE SEQUENCE ticket_blocks; -- blocks of 1,000 ticket numbers; gaps are allowed

CREATE TABLE ticket_copies (
    authority text NOT NULL,
    number text NOT NULL,
    uid text NOT NULL,
    revision bigint NOT NULL CHECK (revision >= 1),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    followed boolean NOT NULL,
    origin text NOT NULL,
    platform text,
    external_id text,
    state bigint NOT NULL CHECK (state BETWEEN 1 AND 9),
    channel bigint NOT NULL,
    type bigint NOT NULL,
    matter text NOT NULL,
    urgency bigint NOT NULL CHECK (urgency BETWEEN 1 AND 4),
    subject_kind bigint NOT NULL,
    risk_tags jsonb NOT NULL,
    region text NOT NULL,
    anonymous boolean NOT NULL,
    secrecy_required boolean NOT NULL,
    received_time timestamptz NOT NULL,
    dispatch_due_time timestamptz NOT NULL,
    due_time timestamptz NOT NULL,
    due_provisional boolean NOT NULL,
    first_dispatch_time timestamptz,
    case_id text NOT NULL,
    custodian text NOT NULL,
    decision jsonb,
    progress jsonb NOT NULL,
    external_referral jsonb,
    emergency_referral jsonb,
    outcome jsonb,
    rating jsonb,
    findings jsonb NOT NULL,
    PRIMARY KEY (authority, number),
    -- the natural key: an adapter that lost its request id cannot double a ticket
    UNIQUE (authority, platform, external_id),
    CHECK ((platform IS NULL) = (external_id IS NULL))
);
CREATE INDEX ticket_copies_newest ON ticket_copies (authority, create_time DESC, number DESC);
CREATE INDEX ticket_copies_platform ON ticket_copies (authority, platform, create_time DESC);

-- Texts, sealed; purging empties the wrapped key, after which nothing here can be read.
CREATE TABLE ticket_contents (
    authority text NOT NULL,
    number text NOT NULL,
    wrapped_key bytea NOT NULL,
    fingerprint bytea NOT NULL,
    content bytea NOT NULL,
    citizen bytea,
    resolution bytea,
    referral bytea,
    PRIMARY KEY (authority, number),
    FOREIGN KEY (authority, number) REFERENCES ticket_copies (authority, number)
        DEFERRABLE INITIALLY DEFERRED
);

CREATE TABLE assignments (
    authority text NOT NULL,
    ticket text NOT NULL,
    number bigint NOT NULL CHECK (number BETWEEN 1 AND 20),
    unit text NOT NULL,
    unit_name text NOT NULL,
    platform text NOT NULL,
    role bigint NOT NULL,
    state bigint NOT NULL CHECK (state BETWEEN 1 AND 6),
    mode bigint NOT NULL,
    assign_time timestamptz NOT NULL,
    sign_due_time timestamptz,
    contact_due_time timestamptz,
    platform_external_id text NOT NULL,
    receive_time timestamptz,
    sign_time timestamptz,
    contact_time timestamptz,
    done_time timestamptz,
    PRIMARY KEY (authority, ticket, number)
);
CREATE INDEX assignments_platform ON assignments (authority, platform, ticket);
CREATE INDEX assignments_unit ON assignments (authority, unit, ticket);

CREATE TABLE ticket_events (
    position bigserial PRIMARY KEY,
    txid bigint NOT NULL,
    authority text NOT NULL,
    ticket text NOT NULL,
    kind text NOT NULL,
    actor text NOT NULL,
    role text NOT NULL,
    basis text NOT NULL,
    event_time timestamptz NOT NULL,
    state bigint NOT NULL,
    facts jsonb NOT NULL
);
CREATE INDEX ticket_events_stream ON ticket_events (authority, txid, position);
CREATE INDEX ticket_events_ticket ON ticket_events (authority, ticket, position);
