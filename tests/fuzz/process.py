"""One target under atheris; `run.py` starts this. Our code is instrumented while it is imported."""

from __future__ import annotations

import logging
import sys

import atheris
import structlog

with atheris.instrument_imports(include=["gateway"]):
    from gateway.kernel.errors import LubiaoError
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Fuzz until the time is over; libFuzzer ends the process."""
    name, *arguments = sys.argv[1:]
    [target] = [target for target in TARGETS if target.name == name]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))

    def read(data: bytes) -> None:
        try:
            target.read(data)
        except LubiaoError:
            return  # what a hostile peer gets

    atheris.Setup([sys.argv[0], *arguments], read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
