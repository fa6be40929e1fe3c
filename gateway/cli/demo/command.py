"""`lubiao demo`: make a federation, run it, show it, judge it, stop it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.live import Live

from gateway.cli.demo.federation import Federation, StartFailedError
from gateway.cli.demo.judge import Verdict
from gateway.cli.demo.lists import read_expectations
from gateway.cli.demo.make import make, share_out
from gateway.cli.demo.observer import Observer
from gateway.cli.demo.report import summary, text_lines
from gateway.cli.demo.table import live_table
from gateway.cli.demo.topology import Topology, load_topology
from gateway.cli.output import Exit, pick, say

TIMEOUT_SECONDS = 180.0
LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for."""

    is_once: bool
    is_json: bool
    tickets: int
    folder: Path | None
    timeout_seconds: float = TIMEOUT_SECONDS


def run_demo(options: Options) -> int:
    """Run the demonstration and return the exit code."""
    console = Console(stderr=options.is_json)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="lubiao-demo-"))
    if folder.exists() and any(folder.iterdir()):
        say(
            f"{folder} 不是空目录，请用 --dir 指定新目录。",
            f"{folder} is not empty; name a new folder with --dir.",
        )
        return Exit.USAGE
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    began = time.monotonic()
    topology = load_topology()
    ordinary = share_out(topology, options.tickets - len(read_expectations()))
    federation = make(topology, folder, ordinary)
    try:
        verdict = asyncio.run(_run(federation, options, console, ordinary))
    except StartFailedError as error:
        sys.stderr.write(f"{error}\n")
        return Exit.INTERNAL
    finally:
        federation.stop()
    if verdict is None:
        return Exit.NO
    _report(federation, verdict, options, seconds=time.monotonic() - began)
    if options.folder is None and verdict.is_good:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        say(f"数据和日志保留在 {folder}。", f"Data and logs are kept in {folder}.")
    return Exit.DONE if verdict.is_good else Exit.NO


async def _run(
    federation: Federation, options: Options, console: Console, ordinary: Mapping[str, int]
) -> Verdict | None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    federation.start_nodes()
    async with federation.observer() as observer:
        with console.status(pick("节点启动中 …", "starting the nodes …")):
            await federation.until_up(observer)
        federation.start_parties()
        with Live(console=console, auto_refresh=False, transient=options.is_json) as live:
            look = partial(_look, federation, observer, ordinary, live, options)
            return await _watch(look, options, stopping)


async def _look(
    federation: Federation,
    observer: Observer,
    ordinary: Mapping[str, int],
    live: Live,
    options: Options,
) -> Verdict | None:
    """Show what the nodes say now and return the verdict on it; None while a node is away."""
    federation.check_alive()
    expectations = read_expectations()
    seen = await federation.verdict(observer, expectations, ordinary)
    if seen is None:
        return None
    copies, verdict = seen
    cases = {item.external_id: item.id for item in expectations}
    table = live_table(copies, cases=cases, names=names_in(federation.topology))
    if not options.is_once and verdict.is_settled:
        table.caption = pick("全部了结，按 Ctrl-C 结束", "all is settled; Ctrl-C ends it")
    live.update(table, refresh=True)
    return verdict


async def _watch(
    look: Callable[[], Awaitable[Verdict | None]], options: Options, stopping: asyncio.Event
) -> Verdict | None:
    """Look until all is settled, the time is over, or somebody stops it."""
    last: Verdict | None = None
    end = time.monotonic() + options.timeout_seconds
    while not stopping.is_set() and not (options.is_once and time.monotonic() > end):
        last = await look() or last
        if options.is_once and last is not None and last.is_settled:
            break
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await stopping.wait()
    return last


def _report(federation: Federation, verdict: Verdict, options: Options, *, seconds: float) -> None:
    nodes = [
        {
            "name": node.name,
            "authority": node.authority,
            "hosts": list(node.hosts),
            "roles": list(node.roles),
            "endpoint": federation.endpoints[node.name],
        }
        for node in federation.topology.nodes
    ]
    if options.is_json:
        body = summary(verdict, seconds=seconds, nodes=nodes)
        sys.stdout.write(json.dumps(body, ensure_ascii=False, indent=2) + "\n")
        return
    for line in text_lines(verdict, seconds=seconds):
        sys.stdout.write(line + "\n")


def names_in(topology: Topology) -> dict[str, str]:
    """Return what authorities and nodes are called."""
    nodes = {node.name: topology.names.get(node.authority, node.name) for node in topology.nodes}
    return dict(topology.names) | nodes
