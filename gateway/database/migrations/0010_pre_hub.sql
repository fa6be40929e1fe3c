-- The hub's truth: the exact statements of the provinces. DuckDB and Parquet are derived from here.

CREATE TABLE hub_reports (
    position bigserial NOT NULL UNIQUE,
    txid bigint NOT NULL,
    province text NOT NULL,
    day bigint NOT NULL,
    sequence bigint NOT NULL CHECK (sequence >= 1),
    digest bytea NOT NULL,
    statement bytea NOT NULL,
    key_id text NOT NULL,
    signature bytea NOT NULL,
    received timestamptz NOT NULL,
    PRIMARY KEY (province, sequence),
    UNIQUE (province, day)
);
CREATE INDEX hub_reports_stream ON hub_reports (txid, position);
