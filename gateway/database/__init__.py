"""Storage: tables, queries, the unit of work and its engines, PostgreSQL and the memory twin."""
