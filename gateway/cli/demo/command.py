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
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.live import Live

from gateway.cli.demo.federation import Federation, StartFailedError
from gateway.cli.demo.hub import hub_summary
from gateway.cli.demo.judge import Verdict
from gateway.cli.demo.lists import Programme
from gateway.cli.demo.make import make
from gateway.cli.demo.observer import Observer
from gateway.cli.demo.report import summary, text_lines
from gateway.cli.demo.table import live_table
from gateway.cli.demo.topology import Topology, load_topology
from gateway.cli.output import Exit, pick, say

TIMEOUT_SECONDS = 240.0
TIMEOUT_SECONDS_PER_TICKET = 0.5  # two processors, a dozen signatures and commits a ticket
REPORTS_SECONDS_MAX = 60.0  # the business day closes within it (topology.yaml)
REPORTS_LOOK_SECONDS = 3.0
LOOK_SECONDS = 0.5
LOOK_SHARE_MAX = 0.2  # looking must not take the machine from what is looked at
VARIATIONS_WATCHED_MAX = 200  # more are read only when most of them are done
BUSY_LEAST = 20
PATIENCE_SECONDS = 15.0  # a person at a desk or of a panel may still act on what looks settled


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for."""

    is_once: bool
    is_json: bool
    tickets: int
    folder: Path | None
    timeout_seconds: float = 0.0  # 0: as long as so many tickets may take
    authorities: tuple[str, ...] = ()  # provinces that take part; none: all

    @property
    def seconds_max(self) -> float:
        """How long a demonstration that ends by itself may take."""
        return self.timeout_seconds or TIMEOUT_SECONDS + TIMEOUT_SECONDS_PER_TICKET * self.tickets


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
    if options.authorities:
        topology = topology.only(options.authorities)
    programme = Programme.of(topology, tickets=options.tickets)
    federation = make(topology, folder, programme)
    hub: dict[str, object] | None = None
    try:
        verdict = asyncio.run(_run(federation, options, console, programme))
        if verdict is not None:
            hub = _hub_of(federation, waits=options.is_once and verdict.is_good)
    except StartFailedError as error:
        sys.stderr.write(f"{error}\n")
        return Exit.INTERNAL
    finally:
        federation.stop()
    if verdict is None:
        return Exit.NO
    _report(federation, verdict, options, seconds=time.monotonic() - began, hub=hub)
    if options.folder is None and verdict.is_good:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        say(f"数据和日志保留在 {folder}。", f"Data and logs are kept in {folder}.")
    return Exit.DONE if verdict.is_good else Exit.NO


async def _run(
    federation: Federation, options: Options, console: Console, programme: Programme
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
            look = partial(_look, federation, observer, programme, live, options)
            return await _watch(look, options, stopping)


async def _look(
    federation: Federation,
    observer: Observer,
    programme: Programme,
    live: Live,
    options: Options,
    *,
    is_last: bool,
) -> Verdict | None:
    """Show what the nodes say now and return the verdict on it; None while a node is away.

    Of many variations nothing is read while most of them are under way, but for the last look.
    """
    for name in federation.revive():
        say(f"{name} 意外终止，已重新启动。", f"{name} died and was started again.")
    many = options.is_once and len(programme.varied) > VARIATIONS_WATCHED_MAX
    if many and not is_last and await federation.is_busy(observer, least=BUSY_LEAST):
        return None
    seen = await federation.verdict(observer, programme)
    if seen is None:
        return None
    copies, verdict = seen
    cases = {item.external_id: item.id for item in programme.cases}
    names = names_in(federation.topology) | dict(verdict.named)
    table = live_table(copies, cases=cases, names=names, disputes=verdict.disputes)
    if not options.is_once and verdict.is_settled:
        table.caption = pick("全部了结，按 Ctrl-C 结束", "all is settled; Ctrl-C ends it")
    live.update(table, refresh=True)
    return verdict


async def _watch(
    look: Callable[..., Awaitable[Verdict | None]], options: Options, stopping: asyncio.Event
) -> Verdict | None:
    """Look until all is settled, the time is over, or somebody stops it."""
    last: Verdict | None = None
    began = since = time.monotonic()
    while not stopping.is_set():
        looked = time.monotonic()
        is_late = options.is_once and looked > began + options.seconds_max
        seen = await look(is_last=is_late)
        now = time.monotonic()
        if seen is not None and seen != last:
            last, since = seen, now
        if is_late or (options.is_once and last and _is_over(last, still=now - since)):
            break
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(LOOK_SECONDS, (now - looked) / LOOK_SHARE_MAX)):
                await stopping.wait()
    return last


def _hub_of(federation: Federation, *, waits: bool) -> dict[str, object] | None:
    """Return what reached the hub, after the reports of all provinces if they are worth a wait."""
    provinces = sum(node.is_custodian for node in federation.topology.nodes)
    end = time.monotonic() + REPORTS_SECONDS_MAX
    while True:
        hub = hub_summary(federation)
        complete = hub is not None and hub["provinces"] == provinces
        if not waits or complete or time.monotonic() > end:
            return hub
        time.sleep(REPORTS_LOOK_SECONDS)


def _is_over(verdict: Verdict, *, still: float) -> bool:
    """Tell whether nothing more is to come: all is good, or settled and long without a change."""
    return verdict.is_good or (verdict.is_settled and still > PATIENCE_SECONDS)


def _report(
    federation: Federation,
    verdict: Verdict,
    options: Options,
    *,
    seconds: float,
    hub: dict[str, object] | None,
) -> None:
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
        names = names_in(federation.topology)
        body = summary(verdict, seconds=seconds, nodes=nodes, hub=hub, names=names)
        sys.stdout.write(json.dumps(body, ensure_ascii=False, indent=2) + "\n")
        return
    names = names_in(federation.topology)
    for line in text_lines(verdict, seconds=seconds, hub=hub, names=names):
        sys.stdout.write(line + "\n")


def names_in(topology: Topology) -> dict[str, str]:
    """Return what authorities and nodes are called."""
    nodes = {node.name: topology.names.get(node.authority, node.name) for node in topology.nodes}
    return dict(topology.names) | nodes
