"""A node as `lubiao serve` runs it, with the profiler: `python -m benchmarks.node DIR OUT`."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import uvloop

from benchmarks import profile
from gateway import app
from gateway.config import load_settings


def main() -> None:
    """Serve until SIGTERM, then write what was sampled."""
    directory, out = Path(sys.argv[1]), Path(sys.argv[2])
    signal.signal(signal.SIGUSR1, profile.reset)
    signal.signal(signal.SIGUSR2, lambda _signal, _frame: profile.show(out))
    profile.start()
    try:
        uvloop.run(app.serve(load_settings(directory)))
    finally:
        profile.write(out)


if __name__ == "__main__":
    main()
