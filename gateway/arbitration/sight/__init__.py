"""What panels see beside a case, the figures of disputes, and the stream of changes."""
