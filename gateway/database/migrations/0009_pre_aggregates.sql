-- Reports of a province to the hub: the series, what left, and the privacy budget.
-- No exact count is stored here: exact numbers are counted from the tickets when they are needed.

CREATE TABLE report_series (
    province text PRIMARY KEY,
    next_day bigint NOT NULL,
    sequence bigint NOT NULL CHECK (sequence >= 0),
    head_digest bytea NOT NULL
);

CREATE TABLE reports (
    province text NOT NULL,
    day bigint NOT NULL,
    sequence bigint NOT NULL CHECK (sequence >= 1),
    statement bytea NOT NULL,
    key_id text NOT NULL,
    signature bytea NOT NULL,
    posted boolean NOT NULL,
    created timestamptz NOT NULL,
    PRIMARY KEY (province, day),
    UNIQUE (province, sequence)
);
CREATE INDEX reports_waiting ON reports (province, sequence) WHERE NOT posted;

-- The privacy budget, append only: what was spent, and what was refused because it would overspend.
CREATE TABLE report_budget (
    position bigserial PRIMARY KEY,
    province text NOT NULL,
    year bigint NOT NULL,
    quarter bigint NOT NULL CHECK (quarter BETWEEN 1 AND 4),
    day bigint NOT NULL,
    epsilon_micro bigint NOT NULL CHECK (epsilon_micro > 0),
    outcome text NOT NULL CHECK (outcome IN ('SPENT', 'REFUSED')),
    actor text NOT NULL,
    recorded timestamptz NOT NULL
);
CREATE INDEX report_budget_period ON report_budget (province, year, quarter);
-- A day is paid once, whatever the program believes.
CREATE UNIQUE INDEX report_budget_once ON report_budget (province, day) WHERE outcome = 'SPENT';

CREATE FUNCTION report_budget_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'budget entries are append only';
END $$;
CREATE TRIGGER report_budget_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON report_budget
    FOR EACH STATEMENT EXECUTE FUNCTION report_budget_is_append_only();
