-- Disputes of units, too, and rulings of more forms than who holds the ticket.

ALTER TABLE cases ADD COLUMN level bigint NOT NULL DEFAULT 2 CHECK (level BETWEEN 1 AND 3);
UPDATE cases SET level = 3 WHERE scope = '100000';
ALTER TABLE case_rulings ADD COLUMN form bigint NOT NULL DEFAULT 0 CHECK (form BETWEEN 0 AND 7);
ALTER TABLE case_rulings ADD COLUMN parts jsonb NOT NULL DEFAULT '[]';
ALTER TABLE case_rulings ADD COLUMN merge_into text NOT NULL DEFAULT '';
