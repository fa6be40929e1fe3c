-- Disputes of units: who filed, asked or judged a return, and so sits on no panel of the case.

ALTER TABLE cases ADD COLUMN involved jsonb NOT NULL DEFAULT '[]';
