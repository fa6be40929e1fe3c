"""`python -m adapters.simulated platform|people DIR …`: simulated parties as a process.

A platform's folder is that of its adapter and holds `simulated.yaml`:

    platform: 120000-p1
    samples: [TJ1, TJ2]       # hand in these sample messages
    variations: {TJ1: 20}     # and so many variations of each, by its number
    seed: 0
    delays: {sign: 0.5, contact: 0.5, done: 1.0, rating: 0.5}

The folder of people holds `dispatcher.yaml`, `panel.yaml`, `units.yaml`, `editor.yaml` or
`approver.yaml`: `authority`, `endpoint`, `certificates`, `delay`; an editor's also the `inbox` of a
platform and the `samples` that go there when a proposed rule is in force. People share a process,
each with a certificate and a channel of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from adapters.file_drop.__main__ import configure_logs, report
from adapters.kit.channel import open_channel
from adapters.kit.client import Client
from adapters.kit.files import make_private_folder
from adapters.simulated.bodies import Bodies
from adapters.simulated.dispatcher import SimulatedDispatcher
from adapters.simulated.messages import (
    ID,
    bodies_of,
    desk_choices,
    positions_of,
    rulings_of,
    sample_messages,
    variation_messages,
)
from adapters.simulated.panel import SimulatedPanel
from adapters.simulated.plans import Delays
from adapters.simulated.platform import SimulatedPlatform, drop
from adapters.simulated.speaking import Speakers
from adapters.simulated.steward import APPROVER, EDITOR, SimulatedSteward
from gateway.kernel.errors import LubiaoError

TICK_SECONDS = 0.1
PLATFORM_FILE, DISPATCHER_FILE, PANEL_FILE = "simulated.yaml", "dispatcher.yaml", "panel.yaml"
UNITS_FILE = "units.yaml"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one simulated party until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m adapters.simulated", description=__doc__)
    parser.add_argument("party", choices=tuple(_PARTIES))
    parser.add_argument("folders", type=Path, nargs="+")
    options = parser.parse_args(arguments)
    configure_logs()
    try:
        asyncio.run(_until_told(_PARTIES[options.party], options.folders))
    except LubiaoError as error:
        return report(error)
    except ExceptionGroup as group:
        typed, others = group.split(LubiaoError)
        if others is not None or typed is None:
            raise
        return max(report(error) for error in _leaves(typed))
    return 0


def _leaves(group: ExceptionGroup[LubiaoError]) -> list[LubiaoError]:
    found: list[LubiaoError] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, ExceptionGroup) else [error]
    return found


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
            channel=channel,
            choices=desk_choices(str(settings["authority"])),
        )
        speakers = Speakers(
            client,
            channel,
            authority=str(settings["authority"]),
            scripts=[
                each
                for each in positions_of(str(settings["authority"]))
                if "party" not in each  # a unit speaks through its platform
            ],
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(party.run(stopping))
            group.create_task(speakers.run(stopping))


async def run_panel(folder: Path, stopping: asyncio.Event) -> None:
    """Run the simulated panel of a folder."""
    settings = _settings(folder / PANEL_FILE)
    channel = open_channel(str(settings["endpoint"]), folder / str(settings["certificates"]))
    async with channel:
        client = Client(channel, peer=str(settings["endpoint"]))
        authority = str(settings["authority"])
        party = SimulatedPanel(client, channel, authority=authority, scripts=rulings_of(authority))
        await party.run(stopping, delay_seconds=float(settings.get("delay", 1.0)))


async def run_units(folder: Path, stopping: asyncio.Event) -> None:
    """Run what the units of a platform say and answer, with the platform's certificate."""
    settings = _settings(folder / UNITS_FILE)
    authority = str(settings["authority"])
    channel = open_channel(str(settings["endpoint"]), folder / str(settings["certificates"]))
    async with channel:
        client = Client(channel, peer=str(settings["endpoint"]))
        said = [each for each in positions_of(authority) if "party" in each]
        bodies = Bodies(client, scripts=bodies_of(authority))
        party = Speakers(client, channel, authority=authority, scripts=said, beside=bodies.answer)
        await party.run(stopping)


async def run_steward(folder: Path, stopping: asyncio.Event) -> None:
    """Run a person of the rule staff."""
    duty = next(duty for duty in (EDITOR, APPROVER) if (folder / f"{duty}.yaml").exists())
    settings = _settings(folder / f"{duty}.yaml")
    samples = [str(each) for each in settings.get("samples", [])]
    channel = open_channel(str(settings["endpoint"]), folder / str(settings["certificates"]))
    async with channel:
        client = Client(channel, peer=str(settings["endpoint"]))
        inbox = folder / str(settings.get("inbox", ""))
        platform = str(settings.get("platform", ""))
        rows = [row for row in sample_messages(platform) if row[ID] in samples]
        party = SimulatedSteward(
            client, channel, duty=duty, in_force=lambda: _write_again(inbox, rows)
        )
        await party.run(stopping)


def _write_again(inbox: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Let citizens write to a platform again; the same file again changes nothing."""
    if rows:
        drop(inbox / "messages-again.jsonl", rows)


async def run_person(folder: Path, stopping: asyncio.Event) -> None:
    """Run the people of a folder, by the file that it holds."""
    run = next(run for name, run in _PEOPLE.items() if (folder / name).exists())
    await run(folder, stopping)


_PEOPLE = {
    DISPATCHER_FILE: run_dispatcher,
    PANEL_FILE: run_panel,
    UNITS_FILE: run_units,
    f"{EDITOR}.yaml": run_steward,
    f"{APPROVER}.yaml": run_steward,
}
_PARTIES = {"platform": run_platform, "people": run_person}


async def _until_told(run: Any, folders: Sequence[Path]) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with asyncio.TaskGroup() as group:
        for folder in folders:
            group.create_task(run(folder, stopping))


def _settings(path: Path) -> dict[str, Any]:
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    return raw if isinstance(raw, dict) else {}


if __name__ == "__main__":
    sys.exit(main())
