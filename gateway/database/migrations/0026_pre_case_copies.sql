-- Cases of other nodes' arbiters, as they told their parties here.
CREATE TABLE case_copies (
    authority text NOT NULL, -- the party
    scope text NOT NULL,
    case_id text NOT NULL,
    revision bigint NOT NULL,
    ticket text NOT NULL,
    state bigint NOT NULL CHECK (state BETWEEN 1 AND 7),
    filed timestamptz NOT NULL,
    due timestamptz,
    statement bytea NOT NULL, -- CaseFile as the arbiter signed it: codes and authorities
    key_id text NOT NULL,
    signature bytea NOT NULL,
    wrapped_key bytea NOT NULL,
    words bytea NOT NULL, -- reasons and words, sealed with the copy's own key (I10)
    PRIMARY KEY (authority, scope, case_id)
);
CREATE INDEX case_copies_newest ON case_copies (authority, filed DESC, case_id DESC);
