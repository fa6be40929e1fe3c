"""`lubiao bench rules`: which rules select a ticket, against zen-engine and CLIPS.

All engines get the same rules, with every selector that the language has (`rule_workload.py`), and
the same tickets, each different. `select` is what production does with them: the candidates of the
compiled book, their conditions, the winner, and for the explanation all that lost or failed. The
peers are on their fastest paths (`rule_peers.py`); zen-engine explains nothing there. `decide` is
the whole decision with whose place it is, the unit, the guards and the digested trace.

Every answer of every engine is compared with the oracle, which reads the rules with `selects`, the
definition: rules of other regions are left out by `is_within`, and on a sample they are not.

Times are processor time of the process (other work on the machine does not count, what it does to
the caches does); engines take turns within a run. `stall` is the longest time for which the event
loop was not free while a set was built from the pieces that a worker process hands over, put in
force and the one before was dropped, with decisions going on.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import rule_checks, rule_peers
from benchmarks.rows import Row, median_row
from benchmarks.rule_workload import Ticket, Workload
from gateway.kernel.data import data_path
from gateway.reference.data import ReferenceData
from gateway.routing.building import InForce, PackedPack, build, pack_up
from gateway.routing.compiled import Candidate
from gateway.routing.conditions import cel_conditions
from gateway.routing.evaluate import decide
from gateway.routing.packs import PackSet

SIZES = (10, 1_000, 10_000, 100_000)
RATIO_MIN = {10: 2.5, 1_000: 10, 10_000: 10, 100_000: 10}
GROWTH_MAX = 3.0
STALL_MAX = {10_000: 10.0, 100_000: 50.0}  # ms
PEER_SECONDS = 3.0  # of a run: a slow engine is asked about fewer of the tickets
DECIDED = 2_000  # tickets; a decision takes longer
RULES_PER_TICKET = 100  # a greater set is asked about with more tickets, or says nothing
SAMPLE = 200  # tickets for which the oracle reads all rules
HEARTBEAT_SECONDS = 0.001
BASELINE = "the faster of zen-engine and CLIPS"


@dataclass(slots=True)
class Subject:
    """One size: its rules, its set, and what was measured of it."""

    workload: Workload
    packs: PackSet
    select: list[float] = field(default_factory=list)
    decide: list[float] = field(default_factory=list)


async def measure(*, runs: int, tickets: int) -> list[Row]:
    """Return the rows of this benchmark."""
    reference = ReferenceData.load(data_path("routing_rules") / "reference")
    rows: list[Row] = []
    subjects: list[Subject] = []
    sizes = [size for size in SIZES if size <= tickets * RULES_PER_TICKET]
    for size in sizes:
        workload = Workload(size, tickets=tickets, reference=reference)
        before = _resident_mebibytes()
        subject = Subject(workload, PackSet(workload.packs))
        grown = _resident_mebibytes() - before
        rows += _against_peers(subject, runs=runs, reference=reference)
        rows.append(Row(name=f"rules.{size}.compiled", value=round(grown, 1), unit="MiB"))
        subjects.append(subject)
    rows += _growth(subjects, runs=runs, reference=reference)
    for subject in subjects:
        if subject.workload.size in STALL_MAX:
            rows += await _stall(subject.workload, runs=runs, reference=reference)
    return [*rows, *await rule_checks.rows_of(sizes[-1])]


# --- select ---------------------------------------------------------------------------------------

Explained = tuple[Candidate | None, list[Candidate], list[Candidate]]


def _selecting(packs: PackSet, reference: ReferenceData) -> Callable[[Ticket], Explained]:
    candidates, regions = packs.candidates, reference.regions

    def select(ticket: Ticket) -> Explained:
        facts, moment = ticket.facts, ticket.moment
        won: Candidate | None = None
        lost: list[Candidate] = []
        failed: list[Candidate] = []
        for found in candidates(
            facts, owners=ticket.owners, region=facts.region, regions=regions, moment=moment
        ):
            if found.is_open and not found.selects(facts, moment):
                failed.append(found)
            elif won is None:
                won = found
            else:
                lost.append(found)
        return won, lost, failed

    return select


def _against_peers(subject: Subject, *, runs: int, reference: ReferenceData) -> list[Row]:
    workload, size = subject.workload, subject.workload.size
    select = _selecting(subject.packs, reference)
    name = f"rules.{size}"
    with _quiet():
        first = _microseconds(select, workload.tickets)
        peers = list(_peers(workload, reference))
        own: list[float] = []
        for _ in range(runs):
            own.append(_microseconds(select, workload.tickets))
            for peer in peers:
                same = workload.tickets[: len(peer.inputs)]
                is_all = len(same) == len(workload.tickets)
                peer.own.append(own[-1] if is_all else _microseconds(select, same))
                peer.times.append(_microseconds(peer.ask, peer.inputs))
    wrong, checked = _mismatches(workload, select, peers)
    rows = [
        median_row(f"{name}.select", own, "µs/ticket"),
        median_row(
            f"{name}.select_first",
            [first],
            "µs/ticket",
            note="each place and matter for the first time",
        ),
        *(
            median_row(f"{name}.{peer.name}", peer.times, "µs/ticket", note=peer.note)
            for peer in peers
        ),
    ]
    known = [peer for peer in peers if peer.inputs]
    if known:
        fastest = min(known, key=lambda peer: statistics.median(peer.times))
        ratios = [theirs / ours for theirs, ours in zip(fastest.times, fastest.own, strict=True)]
        baseline = f"{BASELINE}, here {fastest.name}"
    else:
        ratios, baseline = [], BASELINE
    return [
        *rows,
        median_row(
            f"{name}.of_fastest",
            ratios,
            "times as fast",
            baseline=baseline,
            goal_min=RATIO_MIN.get(size),
        ),
        median_row(
            f"{name}.mismatches",
            [float(wrong)],
            "answers",
            note=checked,
            baseline="oracle",
            goal_max=0,
        ),
    ]


# --- peers ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Peer:
    name: str
    ask: rule_peers.Engine
    inputs: Sequence[rule_peers.Input]
    is_right: Callable[[Any, list[str]], bool]
    note: str
    times: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)  # ours, for the same tickets in the same run


def _peers(workload: Workload, reference: ReferenceData) -> Iterator[_Peer]:
    inputs = rule_peers.inputs_of(workload.tickets, workload, reference)
    try:
        ask = rule_peers.zen_engine(workload, reference)
    except ImportError:
        yield _missing("zen", "zen-engine")
    else:
        few = _as_many_as_fit(ask, inputs)
        yield _Peer("zen", ask, few, _zen_is_right, f"evaluate, static loader; {len(few)} tickets")
    try:
        ask = rule_peers.clips_engine(workload, reference)
    except ImportError:
        yield _missing("clips", "clipspy")
    except TimeoutError as error:
        yield _Peer("clips", lambda _: None, (), lambda *_: True, str(error))
    else:
        few = _as_many_as_fit(ask, rule_peers.clips_inputs(inputs))

        def is_right(answer: Any, right: list[str]) -> bool:
            return rule_peers.rules_of_clips(answer, workload) == right

        yield _Peer("clips", ask, few, is_right, f"agenda read; {len(few)} tickets")


def _missing(name: str, package: str) -> _Peer:
    note = f"{package} is not installed: make dev"
    return _Peer(name, lambda _: None, (), lambda *_: True, note)


def _zen_is_right(answer: Any, right: list[str]) -> bool:
    return rule_peers.rule_of_zen(answer) == next(iter(right), None)


def _as_many_as_fit(
    ask: rule_peers.Engine, inputs: Sequence[rule_peers.Input]
) -> Sequence[rule_peers.Input]:
    few = inputs[:200]
    each = _microseconds(ask, few) / 1e6
    return inputs[: max(len(few), min(len(inputs), int(PEER_SECONDS / each)))]


def _mismatches(
    workload: Workload, select: Callable[[Ticket], Explained], peers: Sequence[_Peer]
) -> tuple[int, str]:
    """Return how many answers of all engines are wrong, and how many were looked at."""
    oracle, naive = workload.oracle(), workload.oracle(reads_all=True)
    wrong = sum(oracle(ticket) != naive(ticket) for ticket in workload.tickets[:SAMPLE])
    checked = 0
    for number, ticket in enumerate(workload.tickets):
        right = oracle(ticket)
        won, lost, _ = select(ticket)
        wrong += [each.rule.id for each in ([won] if won else []) + lost] != right
        checked += 1
        for peer in peers:
            if number < len(peer.inputs):
                wrong += not peer.is_right(peer.ask(peer.inputs[number]), right)
                checked += 1
    return wrong, f"of {checked}, all engines; the oracle reads all rules for {SAMPLE}"


# --- growth and decide ----------------------------------------------------------------------------


def _growth(subjects: Sequence[Subject], *, runs: int, reference: ReferenceData) -> list[Row]:
    """Measure all sizes side by side, so that each run of them meets the same machine."""
    shipped = PackSet.load(
        data_path("routing_rules") / "packs",
        authorities=(),
        reference=reference,
        conditions=cel_conditions(),
    )
    deciding = [_deciding(each, shipped, reference) for each in subjects]
    with _quiet():
        for subject, choose in zip(subjects, deciding, strict=True):
            _microseconds(choose, subject.workload.tickets[:DECIDED])
        for _ in range(max(runs, 5)):
            for subject, choose in zip(subjects, deciding, strict=True):
                tickets = subject.workload.tickets
                subject.select.append(_microseconds(_selecting(subject.packs, reference), tickets))
                subject.decide.append(_microseconds(choose, tickets[:DECIDED]))
    rows = [
        median_row(f"rules.{each.workload.size}.decide", each.decide, "µs/decision")
        for each in subjects
    ]
    least, most = subjects[0], subjects[-1]
    for name in ("select", "decide"):
        ratios = [
            after / before
            for before, after in zip(getattr(least, name), getattr(most, name), strict=True)
        ]
        rows.append(
            median_row(
                f"rules.growth.{name}",
                ratios,
                "times as long",
                baseline=f"{least.workload.size} rules; this is {most.workload.size}",
                goal_max=GROWTH_MAX,
            )
        )
    return rows


def _deciding(
    subject: Subject, shipped: PackSet, reference: ReferenceData
) -> Callable[[Ticket], object]:
    packs = PackSet([*shipped.packs, *subject.workload.packs])
    hosted = frozenset(pack.owner for pack in subject.workload.packs)

    def choose(ticket: Ticket) -> object:
        return decide(
            ticket.facts,
            authority=ticket.owners[0],
            hosted=hosted,
            joined=hosted,
            packs=packs,
            reference=reference,
            now=ticket.now,
        )

    return choose


# --- stall ----------------------------------------------------------------------------------------


async def _stall(workload: Workload, *, runs: int, reference: ReferenceData) -> list[Row]:
    packed = [pack_up(pack) for pack in workload.packs]
    processor: list[float] = []
    wall: list[float] = []
    with _quiet():
        for _ in range(runs):
            found = await _one_publication(workload.tickets, packed, reference)
            processor.append(found[0])
            wall.append(found[1])
    name = f"rules.{workload.size}.stall"
    return [
        median_row(name, processor, "ms", note="processor time", goal_max=STALL_MAX[workload.size]),
        median_row(f"{name}_wall", wall, "ms", note="with whatever else the machine did"),
    ]


async def _one_publication(
    tickets: Sequence[Ticket], packed: Sequence[PackedPack], reference: ReferenceData
) -> tuple[float, float]:
    """Return the longest time, of the processor and in all, between two turns of the loop."""
    in_force = InForce(await build(packed))
    stop = asyncio.Event()
    heart = asyncio.create_task(_heartbeat(stop, tickets, in_force, reference))
    await asyncio.sleep(0)
    await in_force.switch_to(await build(packed, generation=1))
    stop.set()
    return await heart


async def _heartbeat(
    stop: asyncio.Event, tickets: Sequence[Ticket], in_force: InForce, reference: ReferenceData
) -> tuple[float, float]:
    """Select for a ticket at each beat; return the longest times between two."""
    longest = longest_wall = 0.0
    beat, beat_wall, number = time.thread_time(), time.perf_counter(), 0
    while not stop.is_set():
        await asyncio.sleep(HEARTBEAT_SECONDS if number % 2 else 0)
        now, wall = time.thread_time(), time.perf_counter()
        longest, longest_wall = max(longest, now - beat), max(longest_wall, wall - beat_wall)
        beat, beat_wall = now, wall
        _selecting(in_force.get(), reference)(tickets[number % len(tickets)])
        number += 1
    return longest * 1e3, (longest_wall - HEARTBEAT_SECONDS) * 1e3


# --- time and memory ------------------------------------------------------------------------------


def _microseconds(call: Callable[[Any], object], items: Sequence[Any]) -> float:
    """Return the processor time of one call."""
    began = time.process_time()
    for each in items:
        call(each)
    return (time.process_time() - began) / max(1, len(items)) * 1e6


def _resident_mebibytes() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1024**2


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what is there already out of the collector's way, as a running node does."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
