"""`python -m adapters.simulated platform|dispatcher DIR`: one simulated party as a process.

A platform's folder is that of its adapter and holds `simulated.yaml`:

    platform: 120000-p1
    samples: true             # hand in the sample messages
    ordinary: 20              # and so many made-up ones
    regions: ["120101"]       # about these places
    delays: {sign: 0.5, contact: 0.5, done: 1.0, rating: 0.5}

A dispatcher's folder holds `dispatcher.yaml`: `authority`, `endpoint`, `certificates`, `delay`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from adapters.file_drop.__main__ import configure_logs, report
from adapters.kit.channel import open_channel
from adapters.kit.client import Client
from adapters.kit.files import make_private_folder
from adapters.simulated.dispatcher import SimulatedDispatcher
from adapters.simulated.messages import ordinary_messages, sample_messages
from adapters.simulated.platform import Delays, SimulatedPlatform
from gateway.kernel.errors import LubiaoError

TICK_SECONDS = 0.1
PLATFORM_FILE, DISPATCHER_FILE = "simulated.yaml", "dispatcher.yaml"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one simulated party until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m adapters.simulated", description=__doc__)
    parser.add_argument("party", choices=("platform", "dispatcher"))
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    configure_logs()
    run = run_platform if options.party == "platform" else run_dispatcher
    try:
        asyncio.run(_until_told(run, options.folder))
    except LubiaoError as error:
        return report(error)
    return 0


async def run_platform(folder: Path, stopping: asyncio.Event) -> None:
    """Run the simulated platform of an adapter's folder."""
    settings = _settings(folder / PLATFORM_FILE)
    name = str(settings["platform"])
    messages = sample_messages(name) if settings.get("samples") else []
    ordinary = int(settings.get("ordinary", 0))
    if ordinary:
        messages += ordinary_messages(name, ordinary, [str(code) for code in settings["regions"]])
    delays = Delays(**{key: float(value) for key, value in settings.get("delays", {}).items()})
    party = SimulatedPlatform(folder, messages=messages, delays=delays, now=time.monotonic)
    while not stopping.is_set():
        party.tick()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TICK_SECONDS):
                await stopping.wait()


async def run_dispatcher(folder: Path, stopping: asyncio.Event) -> None:
    """Run the simulated dispatcher of a folder."""
    settings = _settings(folder / DISPATCHER_FILE)
    make_private_folder(folder)
    channel = open_channel(str(settings["endpoint"]), folder / str(settings["certificates"]))
    async with channel:
        client = Client(channel, peer=str(settings["endpoint"]))
        party = SimulatedDispatcher(
            client,
            folder=folder,
            authority=str(settings["authority"]),
            delay=timedelta(seconds=float(settings.get("delay", 1.0))),
        )
        await party.run(stopping)


async def _until_told(run: Any, folder: Path) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await run(folder, stopping)


def _settings(path: Path) -> dict[str, Any]:
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    return raw if isinstance(raw, dict) else {}


if __name__ == "__main__":
    sys.exit(main())
