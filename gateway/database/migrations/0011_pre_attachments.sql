-- Files beside tickets, named by the digest of their plain bytes. The bytes lie in chunks that are
-- sealed under the data key of the copy (ticket_contents.wrapped_key): destroying it destroys them.

CREATE TABLE attachments (
    authority text NOT NULL,
    ticket text NOT NULL,
    digest text NOT NULL CHECK (digest ~ '^[0-9a-f]{64}$'),
    size bigint NOT NULL CHECK (size BETWEEN 1 AND 52428800),
    stored_size bigint NOT NULL CHECK (stored_size BETWEEN 0 AND size),
    state text NOT NULL CHECK (state IN ('UPLOADING', 'WANTED', 'AVAILABLE', 'REFUSED')),
    source text NOT NULL,
    attempts bigint NOT NULL,
    mismatches bigint NOT NULL,
    not_before timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    PRIMARY KEY (authority, ticket, digest)
);
CREATE INDEX attachments_waiting ON attachments (not_before) WHERE state IN ('UPLOADING', 'WANTED');

CREATE TABLE attachment_chunks (
    authority text NOT NULL,
    ticket text NOT NULL,
    digest text NOT NULL,
    number bigint NOT NULL,
    sealed bytea NOT NULL CHECK (length(sealed) <= 262144),
    PRIMARY KEY (authority, ticket, digest, number)
);
ALTER TABLE attachment_chunks ALTER COLUMN sealed SET STORAGE EXTERNAL;

CREATE TABLE attachment_days (
    authority text NOT NULL,
    uploader text NOT NULL,
    day text NOT NULL,
    bytes bigint NOT NULL,
    PRIMARY KEY (authority, uploader, day)
);
