"""How peers are served and what waits for a person, for those who operate the node."""
