-- Requests to vertically managed bodies (商请), kept with the copy like returns.

ALTER TABLE ticket_copies
    ADD COLUMN unit_requests jsonb NOT NULL DEFAULT '[]';
