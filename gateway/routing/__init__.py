"""Declarative distribution: packs of rules, the decision for a ticket, and the trace of why."""
