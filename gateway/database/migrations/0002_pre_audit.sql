-- Acts and readings, append only (gateway/audit). No column holds personal data.
CREATE TABLE audit_entries (
    position bigserial PRIMARY KEY,
    txid bigint NOT NULL,
    time timestamptz NOT NULL,
    principal text NOT NULL,
    role text NOT NULL,
    act text NOT NULL,
    subject text NOT NULL,
    basis text NOT NULL,
    purpose text,
    outcome text NOT NULL
);
CREATE INDEX audit_entries_stream ON audit_entries (txid, position);
CREATE INDEX audit_entries_subject ON audit_entries (subject, position);

-- The chain of digests over the entries, each seal over those since the seal before.
CREATE TABLE audit_seals (
    number bigint PRIMARY KEY,
    time timestamptz NOT NULL,
    first_txid bigint NOT NULL,
    first_position bigint NOT NULL,
    last_txid bigint NOT NULL,
    last_position bigint NOT NULL,
    entries bigint NOT NULL,
    previous_digest bytea NOT NULL,
    digest bytea NOT NULL
);

CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit rows are append only';
END $$;
CREATE TRIGGER audit_entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_seals_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_seals
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
