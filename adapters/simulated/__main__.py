"""`python -m adapters.simulated platform|dispatcher|panel DIR`: one simulated party as a process.

A platform's folder is that of its adapter and holds `simulated.yaml`:

    platform: 120000-p1
    samples: [TJ1, TJ2]       # hand in these sample messages
    variations: {TJ1: 20}     # and so many variations of each, by its number
    seed: 0
    delays: {sign: 0.5, contact: 0.5, done: 1.0, rating: 0.5}

A dispatcher's or panel's folder holds `dispatcher.yaml` or `panel.yaml`: `authority`, `endpoint`,
`certificates`, `delay`.
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
from adapters.simulated.messages import ID, desk_choices, sample_messages, variation_messages
from adapters.simulated.panel import SimulatedPanel
from adapters.simulated.plans import Delays
from adapters.simulated.platform import SimulatedPlatform
from gateway.kernel.errors import LubiaoError

TICK_SECONDS = 0.1
PLATFORM_FILE, DISPATCHER_FILE, PANEL_FILE = "simulated.yaml", "dispatcher.yaml", "panel.yaml"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one simulated party until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m adapters.simulated", description=__doc__)
    parser.add_argument("party", choices=tuple(_PARTIES))
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    configure_logs()
    try:
        asyncio.run(_until_told(_PARTIES[options.party], options.folder))
    except LubiaoError as error:
        return report(error)
    except ExceptionGroup as group:
        typed, others = group.split(LubiaoError)
        if others is not None or typed is None:
            raise
        return max(report(error) for error in typed.exceptions if isinstance(error, LubiaoError))
    return 0


async def run_platform(folder: Path, stopping: asyncio.Event) -> None:
    """Run the simulated platform of an adapter's folder."""
    settings = _settings(folder / PLATFORM_FILE)
    name = str(settings["platform"])
    chosen = [str(sample) for sample in settings.get("samples", [])]
    messages = [row for row in sample_messages(name) if row[ID] in chosen]
    counts = {str(key): int(count) for key, count in settings.get("variations", {}).items()}
    messages += variation_messages(name, counts, seed=int(settings.get("seed", 0)))
    delays = Delays(**{key: float(value) for key, value in settings.get("delays", {}).items()})
    party = SimulatedPlatform(
        folder, messages=messages, delays=delays, now=time.monotonic, platform=name
    )
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
            choices=desk_choices(str(settings["authority"])),
        )
        await party.run(stopping)


async def run_panel(folder: Path, stopping: asyncio.Event) -> None:
    """Run the simulated panel of a folder."""
    settings = _settings(folder / PANEL_FILE)
    channel = open_channel(str(settings["endpoint"]), folder / str(settings["certificates"]))
    async with channel:
        client = Client(channel, peer=str(settings["endpoint"]))
        party = SimulatedPanel(client, channel)
        await party.run(stopping, delay_seconds=float(settings.get("delay", 1.0)))


_PARTIES = {"platform": run_platform, "dispatcher": run_dispatcher, "panel": run_panel}


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
