-- Whom a rule asks next when nobody accepts in time (`unless_accepted_within`).
CREATE TABLE fallbacks (
    authority text NOT NULL,
    ticket text NOT NULL,
    trace_digest bytea NOT NULL, -- of the decision that it belongs to
    rule text NOT NULL,
    hours bigint NOT NULL,
    is_working boolean NOT NULL,
    targets jsonb NOT NULL, -- who is still to be asked, in order
    PRIMARY KEY (authority, ticket)
);

-- How destinations stand, as they declare it themselves, until their lease ends.
CREATE TABLE destination_states (
    authority text NOT NULL, -- whose decisions look at it
    target text NOT NULL, -- units/{unit} or authorities/{code}
    state bigint NOT NULL, -- DestinationCondition
    lease_until timestamptz NOT NULL,
    normal_next_hop text NOT NULL,
    reason text NOT NULL,
    declared_by text NOT NULL,
    declare_time timestamptz NOT NULL,
    PRIMARY KEY (authority, target)
);
