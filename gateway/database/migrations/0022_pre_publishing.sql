-- Publishing: the life of rule packs, which version is in force when, and misrouted tickets
-- (docs/publishing.md).

-- The source of a version, by its SHA-256; never changed, never removed.
CREATE TABLE rule_sources (
    version text PRIMARY KEY,
    source bytea NOT NULL
);

-- One version of a pack with its life.
CREATE TABLE rule_versions (
    pack text NOT NULL,
    version text NOT NULL,
    owner text NOT NULL,
    title text NOT NULL,
    rule_count bigint NOT NULL,
    state bigint NOT NULL,
    revision bigint NOT NULL,
    editor text NOT NULL,
    approver text NOT NULL,
    created timestamptz NOT NULL,
    changed timestamptz NOT NULL,
    effective timestamptz,
    reason text NOT NULL,
    founding boolean NOT NULL,
    finding_count bigint NOT NULL,
    PRIMARY KEY (pack, version)
);
CREATE INDEX rule_versions_listed ON rule_versions (created, pack, version);
CREATE INDEX rule_versions_owner ON rule_versions (owner, created, pack, version);

-- Which version of a pack is in force from when on; at an instant it is the line with the greatest
-- (effective, sequence) that is not withdrawn. An empty version: none. A line is only ever
-- withdrawn, and only before it takes effect.
CREATE TABLE rule_activations (
    pack text NOT NULL,
    sequence bigint NOT NULL CHECK (sequence >= 1),
    version text NOT NULL,
    kind bigint NOT NULL,
    effective timestamptz NOT NULL,
    generation bigint NOT NULL,
    issued bigint NOT NULL,  -- the number that the owner gave its publication; 0: a founding version
    withdrawn boolean NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL,
    recorded timestamptz NOT NULL,
    statement bytea NOT NULL,
    key_id text NOT NULL,
    signature bytea NOT NULL,
    PRIMARY KEY (pack, sequence)
);
CREATE INDEX rule_activations_effective ON rule_activations (effective) WHERE NOT withdrawn;
CREATE INDEX rule_activations_of_version ON rule_activations (pack, version, sequence);
CREATE INDEX rule_activations_newest ON rule_activations (pack, effective DESC, sequence DESC)
    WHERE NOT withdrawn;

-- To whom an id of a rule or guard belongs, for ever; `dropped` names the version that left it out.
CREATE TABLE rule_ids (
    id text PRIMARY KEY,
    pack text NOT NULL,
    owner text NOT NULL,
    dropped text NOT NULL
);
CREATE INDEX rule_ids_of_pack ON rule_ids (pack);

-- Counts every change of what is in force; one row.
CREATE TABLE rule_generation (
    id bigint PRIMARY KEY CHECK (id = 1),
    generation bigint NOT NULL
);
INSERT INTO rule_generation VALUES (1, 1);

-- Who decides holds the generation to the end of the transaction, who changes it waits for them;
-- an advisory lock is fair, so that a stream of decisions does not hold up a change for ever.
CREATE FUNCTION hold_rules() RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('rules in force', 0));
    RETURN (SELECT generation FROM rule_generation WHERE id = 1);
END $$;
CREATE FUNCTION take_rules() RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('rules in force', 0));
    RETURN (SELECT generation FROM rule_generation WHERE id = 1);
END $$;

-- Every process learns of a change with its commit.
CREATE FUNCTION rule_generation_is_announced() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('lubiao_rules', NEW.generation::text);
    RETURN NULL;
END $$;
CREATE TRIGGER rule_generation_announced AFTER UPDATE ON rule_generation
    FOR EACH ROW EXECUTE FUNCTION rule_generation_is_announced();

-- What peers say about their packs; the newest publication of each, in parts.
CREATE TABLE pack_summaries (
    pack text NOT NULL,
    part bigint NOT NULL,
    owner text NOT NULL,
    version text NOT NULL,
    sequence bigint NOT NULL,
    parts bigint NOT NULL,
    statement bytea NOT NULL,
    key_id text NOT NULL,
    signature bytea NOT NULL,
    received timestamptz NOT NULL,
    PRIMARY KEY (pack, part)
);

-- Which publication of our packs each peer node was told.
CREATE TABLE packs_told (
    pack text NOT NULL,
    node text NOT NULL,
    sequence bigint NOT NULL,
    PRIMARY KEY (pack, node)
);

-- Tickets that came wrongly, at the reporter and at the rule's owner.
CREATE TABLE misroutes (
    authority text NOT NULL,
    misroute text NOT NULL,
    reporter text NOT NULL,
    owner text NOT NULL,
    pack text NOT NULL,
    version text NOT NULL,
    rule text NOT NULL,
    ticket text NOT NULL,
    reason bigint NOT NULL,
    proposed_target text NOT NULL,
    occurrences bigint NOT NULL,
    state bigint NOT NULL,
    resolution bigint NOT NULL,
    resolution_version text NOT NULL,
    reported timestamptz NOT NULL,
    due timestamptz NOT NULL,
    escalated boolean NOT NULL,
    answered timestamptz,
    answerer text NOT NULL,
    PRIMARY KEY (authority, misroute)
);
CREATE INDEX misroutes_listed ON misroutes (authority, reported, misroute);
CREATE INDEX misroutes_of_rule ON misroutes (owner, pack, rule);

-- Conditions that failed when they were evaluated, per rule and version.
CREATE TABLE rule_failures (
    pack text NOT NULL,
    version text NOT NULL,
    rule text NOT NULL,
    authority text NOT NULL,
    error text NOT NULL,
    occurrences bigint NOT NULL,
    reported bigint NOT NULL,
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    PRIMARY KEY (pack, version, rule, authority)
);

CREATE FUNCTION rule_history_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what rules were in force is never removed';
END $$;
CREATE TRIGGER rule_activations_stay BEFORE DELETE OR TRUNCATE ON rule_activations
    FOR EACH STATEMENT EXECUTE FUNCTION rule_history_stays();
CREATE TRIGGER rule_sources_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON rule_sources
    FOR EACH STATEMENT EXECUTE FUNCTION rule_history_stays();
