"""Parsing the text of packs beside the event loop.

A small text is parsed in a thread. A large one would still hold up the loop, because a thread that
computes shares the interpreter with it: it goes to a worker process, which is started with the
first of them and hands the pack over in pieces (`gateway/routing/building.py`).

Checks have a worker of their own, and `CHECK_SECONDS`: whoever drafts what takes long to check
keeps nobody from parsing what comes into force.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from gateway.checking.check import check_pack
from gateway.checking.model import Finding as CheckFinding
from gateway.checking.model import History, Known
from gateway.checking.solver import ProcessSolver
from gateway.kernel.errors import FieldInvalid, PeerUnreachable
from gateway.kernel.ids import NATION
from gateway.kernel.time import Instant
from gateway.publishing.model import owner_of
from gateway.reference.data import ReferenceData
from gateway.routing.building import PackedPack, pack_up, unpack
from gateway.routing.conditions import cel_conditions
from gateway.routing.model import Conditions, Finding, Pack, Template
from gateway.routing.parse import parse_pack
from gateway.routing.templates import templates_of

SMALL_BYTES_MAX = 64 * 1024  # some hundred rules: parsed in some tenths of a second
PROCESSES = 1  # of each kind
CHECK_SECONDS = 50.0  # a call that checks has 60
Findings = tuple[Finding, ...]
Result = TypeVar("Result")
Parse = Callable[[bytes, str, Mapping[str, Template]], Awaitable[tuple[Findings, Pack | None]]]
"""Returns the errors of a text, and the pack when there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckTask:
    """What a worker needs to check a text: also the texts of all packs that the node knows."""

    source: bytes
    name: str
    now: Instant
    others: tuple[tuple[str, str], ...]
    known: Known
    history: History | None = None


def parse_in_thread(reference: Callable[[], ReferenceData], conditions: Conditions) -> Parse:
    """Return what parses in a thread of this process."""

    async def parse(
        source: bytes, name: str, templates: Mapping[str, Template]
    ) -> tuple[Findings, Pack | None]:
        result = await asyncio.to_thread(
            parse_pack,
            source,
            name=name,
            reference=reference(),
            conditions=conditions,
            templates=templates,
        )
        return tuple(result.errors), result.pack

    return parse


class Workshop:
    """Parses small texts in a thread, large ones in a worker process: `Parse`."""

    def __init__(self, folder: Path, *, small: Parse, check_seconds: float = CHECK_SECONDS) -> None:
        """Let the worker read the reference data of `folder`, which is that of this process."""
        self._folder = folder
        self._small = small
        self._check_seconds = check_seconds
        self._pools: dict[str, ProcessPoolExecutor] = {}

    async def __call__(
        self, source: bytes, name: str, templates: Mapping[str, Template]
    ) -> tuple[Findings, Pack | None]:
        """Return the errors of a text, and the pack when there are none.

        Raises:
            PeerUnreachable: the worker died; the next text gets another one.
        """
        if len(source) <= SMALL_BYTES_MAX:
            return await self._small(source, name, templates)
        work = (self._folder, source, name, dict(templates))
        findings, packed = await self._run("parse", _parse_apart, *work)
        return findings, None if packed is None else await unpack(packed)

    async def check(self, task: CheckTask) -> tuple[CheckFinding, ...]:
        """Return everything there is to say about a large text, found by the worker.

        Raises:
            PeerUnreachable: the worker died.
            FieldInvalid: it takes too long.
        """
        seconds = self._check_seconds
        try:
            return await self._run("check", _check_apart, self._folder, task, seconds)
        except TimeoutError as error:
            raise FieldInvalid(
                field=task.name,
                got=f"a pack whose check takes more than {seconds:g} s",
                expected="fewer rules that overlap, or several packs",
            ) from error

    async def _run(self, kind: str, work: Callable[..., Result], *arguments: object) -> Result:
        pool = self._pools.get(kind)
        if pool is None:
            pool = ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn"))
            self._pools[kind] = pool
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(pool, work, *arguments)
        except BrokenProcessPool as error:
            if self._pools.get(kind) is pool:
                del self._pools[kind]
            pool.shutdown(wait=False, cancel_futures=True)
            raise PeerUnreachable(peer="the worker that parses packs", got="it died") from error

    def close(self) -> None:
        """End the workers."""
        while self._pools:
            _, pool = self._pools.popitem()
            workers = tuple((pool._processes or {}).values())  # public from 3.14 on
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in workers:  # a process cannot end before its worker does
                worker.terminate()


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in this process's main thread when a task takes longer."""

    def stop(_signal: int, _frame: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)  # again, if somebody swallowed it
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _check_apart(folder: Path, task: CheckTask, seconds: float) -> tuple[CheckFinding, ...]:
    with _at_most(seconds):
        return _checked(folder, task)


def _checked(folder: Path, task: CheckTask) -> tuple[CheckFinding, ...]:
    reference = _reference(folder)
    of_nation = [each for each in task.others if owner_of(each[0]) == NATION]
    others = [each for each in task.others if owner_of(each[0]) != NATION]
    packs = [_parsed(folder, *each, {}) for each in of_nation]
    templates = templates_of(pack for pack in packs if pack is not None)
    packs += [_parsed(folder, *each, templates) for each in others]
    with ProcessSolver() as solver:
        return check_pack(
            task.source,
            name=task.name,
            reference=reference,
            conditions=cel_conditions(),
            now=task.now,
            packs=[pack for pack in packs if pack is not None],
            known=task.known,
            history=task.history,
            solver=solver,
        )


def _parse_apart(
    folder: Path, source: bytes, name: str, templates: Mapping[str, Template]
) -> tuple[Findings, PackedPack | None]:
    result = parse_pack(
        source,
        name=name,
        reference=_reference(folder),
        conditions=cel_conditions(),
        templates=templates,
    )
    return tuple(result.errors), None if result.pack is None else pack_up(result.pack)


def _parsed(folder: Path, name: str, source: str, templates: Mapping[str, Template]) -> Pack | None:
    return parse_pack(
        source.encode(),
        name=name,
        reference=_reference(folder),
        conditions=cel_conditions(),
        templates=templates,
    ).pack


@cache
def _reference(folder: Path) -> ReferenceData:
    return ReferenceData.load(folder)
