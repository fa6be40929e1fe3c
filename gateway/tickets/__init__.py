"""The ticket: its values and machines, its tables and reads, the findings of the standard."""
