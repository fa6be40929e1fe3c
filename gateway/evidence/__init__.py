"""Evidence: who held a ticket when, in a file that anybody checks offline (docs/evidence.md)."""
