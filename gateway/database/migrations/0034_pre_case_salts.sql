-- What opens the commitment in a party's statement to its words, sealed with the case's key (I10).

ALTER TABLE case_statements ADD COLUMN salt bytea NOT NULL DEFAULT '';
