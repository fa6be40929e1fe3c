"""`lubiao demo`: a federation of separate processes on this machine, watched and judged."""
