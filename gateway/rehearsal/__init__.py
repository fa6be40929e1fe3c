"""试运行: trying rules on what happened: simulate, compare, replay, preview (docs/rehearsal.md)."""
