-- Until when a person decides an offer, and in which role, as whom it was made to said once. The
-- newest question about it and its answer: who received one keeps it sealed, until the offer is answered.

ALTER TABLE offers_made ADD COLUMN stand_by_until timestamptz;
ALTER TABLE offers_made ADD COLUMN decider text NOT NULL DEFAULT '';
ALTER TABLE invitations ADD COLUMN stand_by_until timestamptz;
ALTER TABLE invitations ADD COLUMN decider text NOT NULL DEFAULT '';
ALTER TABLE offers_made ADD COLUMN asked bigint NOT NULL DEFAULT 0;
ALTER TABLE offers_made ADD COLUMN asked_at timestamptz;
ALTER TABLE offers_made ADD COLUMN told timestamptz;
ALTER TABLE offers_made ADD COLUMN inquiry bytea NOT NULL DEFAULT '';
ALTER TABLE invitations ADD COLUMN asked bigint NOT NULL DEFAULT 0;
ALTER TABLE invitations ADD COLUMN asked_at timestamptz;
ALTER TABLE invitations ADD COLUMN told timestamptz;
ALTER TABLE invitations ADD COLUMN inquiry bytea NOT NULL DEFAULT '';
