"""The `lubiao` command: one module a group; starts adapters as subprocesses."""
