-- What became of the parts that a ruling names (docs/dispatch.md#rulings).
CREATE TABLE shares (
    authority text NOT NULL, -- who carries the ruling out
    ticket text NOT NULL,
    ruling text NOT NULL, -- the ruling's name
    chain text NOT NULL, -- what it is about, {scope}-{chain}, or empty: the units here; a later
                         -- ruling about the same replaces the rows of an earlier one
    party text NOT NULL, -- authority or units/{unit}; empty: the ruling as a whole
    form bigint NOT NULL, -- CaseRulingForm
    child text NOT NULL, -- number of the child ticket, or empty
    PRIMARY KEY (authority, ticket, ruling, party)
);
