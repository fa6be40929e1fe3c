-- The rest of a ticket's life: children, returns, extensions, questions, what the citizen did since.
-- Texts of questions, answers and acts are sealed in ticket_contents.letters.

ALTER TABLE ticket_copies
    ADD COLUMN parent text NOT NULL DEFAULT '',
    ADD COLUMN purpose bigint NOT NULL DEFAULT 0,
    ADD COLUMN depth bigint NOT NULL DEFAULT 0 CHECK (depth BETWEEN 0 AND 2),
    ADD COLUMN returns jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN extensions jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN questions jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN citizen_acts jsonb NOT NULL DEFAULT '[]';
CREATE INDEX ticket_copies_parent ON ticket_copies (authority, parent) WHERE parent <> '';

ALTER TABLE ticket_contents ADD COLUMN letters bytea;

-- Due times to count again when a year of the calendar is published.
CREATE INDEX ticket_copies_provisional ON ticket_copies (authority, number)
    WHERE due_provisional AND NOT followed;
