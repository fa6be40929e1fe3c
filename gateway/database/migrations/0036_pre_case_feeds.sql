-- Changes of cases end after a month; how far they are forgotten is told to who comes with an older
-- token. And for which time of a case the alarm was given, so that it is given once.

ALTER TABLE case_changes ADD COLUMN noted timestamptz NOT NULL DEFAULT now();
CREATE TABLE case_changes_forgotten (
    authority text PRIMARY KEY,
    txid bigint NOT NULL,
    position bigint NOT NULL
);
ALTER TABLE cases ADD COLUMN told timestamptz;
