"""A node as `lubiao serve` runs it, with the profiler: `python -m benchmarks.node DIR OUT`.

With `--bare` it neither validates nor seals (`bare.py`).
"""

from __future__ import annotations

import signal
import sys
from importlib import import_module
from pathlib import Path

import uvloop

from benchmarks import profile

BARE = "--bare"


def main() -> None:
    """Serve until SIGTERM, then write what was sampled."""
    directory, out = Path(sys.argv[1]), Path(sys.argv[2])
    if BARE in sys.argv[3:]:
        import_module("benchmarks.bare").strip()
    # Only now: whoever imports a function keeps the one that there was.
    app, config = import_module("gateway.app"), import_module("gateway.config")
    signal.signal(signal.SIGUSR1, profile.reset)
    signal.signal(signal.SIGUSR2, lambda _signal, _frame: profile.show(out))
    profile.start()
    try:
        uvloop.run(app.serve(config.load_settings(directory)))
    finally:
        profile.write(out)


if __name__ == "__main__":
    main()
