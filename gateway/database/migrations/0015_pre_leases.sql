-- The living processes of a node, each until an instant of this database's clock (leases.py).
CREATE TABLE workers (
    holder text PRIMARY KEY,
    until timestamptz NOT NULL
);

-- Which process does what only one may do; it counts as long as its holder lives.
CREATE TABLE leases (
    name text PRIMARY KEY,
    holder text NOT NULL
);
