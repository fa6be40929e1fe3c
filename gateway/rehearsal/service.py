"""Use cases of rehearsal: try packs on what happened, and decide a past ticket again.

A trial reads history by pages, decides each ticket twice and forgets it, so its memory does not
grow with the history. It gives way to other work of the loop after a few decisions, one trial runs
at a time in a process, and who stops listening stops it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import date, timedelta

from gateway.kernel.errors import FieldInvalid, PeerNotAllowed, ResourceNotFound
from gateway.kernel.time import Clock, Instant, day_of
from gateway.kernel.values import replace
from gateway.reference.data import ReferenceData
from gateway.reference.regions import Regions
from gateway.rehearsal.archive import reference_of_archive
from gateway.rehearsal.comparing import Comparison
from gateway.rehearsal.history import DECISIONS_MAX, History
from gateway.rehearsal.model import Balance, Flow, Past, Report
from gateway.rehearsal.replay import Replay, replay
from gateway.rehearsal.scenes import Givens, Stage, name_of, set_stage
from gateway.routing.model import Conditions, Pack, Reference
from gateway.routing.packs import PackSet
from gateway.routing.parse import parse_pack
from gateway.routing.templates import templates_of
from gateway.trust.principal import Principal

DECISIONS_AT_ONCE = 10  # twice so many decisions are some milliseconds: what others wait at most
DAYS_DEFAULT = 30
DAYS_MAX = 400  # a year and a month to compare with
FindSource = Callable[[str, str], Awaitable[bytes | None]]
"""Returns the source of a pack's version that was ever in force here, or None."""


async def no_source(pack: str, version: str) -> bytes | None:  # noqa: ARG001 - as the port asks
    """Return nothing: of a node that keeps no versions but those in force."""
    return None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a trial is."""

    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What somebody wants to try."""

    authority: str
    sources: tuple[bytes, ...] = ()
    baseline_sources: tuple[bytes, ...] = ()
    start: Instant | None = None
    end: Instant | None = None
    in_flight: bool = False
    on: date | None = None
    preview_on: date | None = None
    reference_archive: bytes = b""


class Rehearsal:
    """Trials and replays over the history of one node."""

    def __init__(
        self,
        *,
        history: History,
        packs: Callable[[], PackSet],
        reference: Callable[[], ReferenceData],
        hosted: Callable[[], frozenset[str]],
        joined: Callable[[], frozenset[str]],
        conditions: Conditions,
        clock: Clock,
        find_source: FindSource,
    ) -> None:
        """Compare with what `packs` gives: the rules in force."""
        self._history = history
        self._packs, self._reference = packs, reference
        self._hosted, self._joined = hosted, joined
        self._conditions, self._clock = conditions, clock
        self._find_source = find_source
        self._turn = asyncio.Semaphore(1)

    async def simulate(
        self, principal: Principal, trial: Trial
    ) -> AsyncGenerator[Progress | Report, None]:
        """Yield progress again and again, and at last the report.

        Raises:
            FieldInvalid: the range is none, or a pack does not count for the authority.
            PeerNotAllowed: the authority is not the caller's, nor below it and hosted here.
            RulePackInvalid: a pack has errors.
        """
        self._check_authority(principal, trial.authority)
        start, end = self._range(trial)
        async with self._turn:
            stage = await asyncio.to_thread(self._stage, trial)
            if trial.in_flight:
                total = await self._history.count_in_flight(trial.authority)
                pages = self._history.in_flight(trial.authority)
            else:
                total = await self._history.count(trial.authority, start=start, end=end)
                pages = self._history.between(trial.authority, start=start, end=end)
            yield Progress(0, total)
            comparison = Comparison(trial.authority, lists_all=trial.in_flight)
            async with aclosing(pages) as found:
                async for page in found:
                    room = DECISIONS_MAX - comparison.examined
                    await _compare(comparison, stage, page[:room])
                    yield Progress(comparison.examined, max(total, comparison.examined))
                    if len(page) > room:
                        break
            missing = total - comparison.examined if trial.in_flight else 0
            is_cut = total > DECISIONS_MAX
            yield self._report(stage, comparison, missing=0 if is_cut else missing, is_cut=is_cut)

    async def try_on(self, trial: Trial, past: Sequence[Past]) -> int:
        """Return how many of some past decisions a trial's packs send elsewhere.

        The caller bounds `past`, so this waits for no other trial.

        Raises:
            FieldInvalid: a pack does not count for the authority.
            RulePackInvalid: a pack has errors.
        """
        stage = await asyncio.to_thread(self._stage, trial)
        comparison = Comparison(trial.authority, lists_all=False)
        await _compare(comparison, stage, past)
        return comparison.moved

    async def replay(self, principal: Principal, ticket: str) -> Replay:
        """Decide again what the caller's authority decided last about a ticket.

        Raises:
            ResourceNotFound: nothing is stored about it.
        """
        found = await self._history.newest(principal.authority, ticket)
        if found is None:
            raise ResourceNotFound(
                kind="route decision",
                name=f"tickets/{ticket}",
                hint="nothing was decided about it here, or before decisions were kept",
            )
        past, setting = found
        packs = await self._packs_of(setting.packs)
        return replay(past, setting, packs=packs, reference=self._reference())

    # --- parts --------------------------------------------------------------------------------

    async def _packs_of(self, versions: Iterable[str]) -> list[Pack]:
        """Return the packs of then as far as this node still has them, else those of now."""
        standing = {pack.pack: pack for pack in self._packs().packs}
        found: list[Pack] = []
        # From the nation down: lower packs may use the templates of those above.
        for entry in reversed(tuple(versions)):
            name, _, version = entry.partition("@")
            now = standing.get(name)
            if now is not None and now.version == version:
                found.append(now)
                continue
            source = await self._find_source(name, version)
            pack = await asyncio.to_thread(self._parsed, source, found) if source else now
            found += [pack] if pack is not None else []
        return found

    def _parsed(self, source: bytes, above: list[Pack]) -> Pack | None:
        result = parse_pack(
            source,
            name=name_of(source),
            reference=self._reference(),
            conditions=self._conditions,
            templates=templates_of(above),
        )
        return result.pack

    def _stage(self, trial: Trial) -> Stage:
        planned = reference_of_archive(trial.reference_archive) if trial.reference_archive else None
        return set_stage(
            Givens(
                authority=trial.authority,
                packs=self._packs(),
                reference=self._reference(),
                hosted=self._hosted(),
                joined=self._joined(),
                conditions=self._conditions,
                today=day_of(self._clock.now()),
                sources=trial.sources,
                baseline_sources=trial.baseline_sources,
                on=trial.on,
                preview_on=trial.preview_on,
                planned=planned,
            )
        )

    def _range(self, trial: Trial) -> tuple[Instant, Instant]:
        end = trial.end or self._clock.now()
        start = trial.start or end - timedelta(days=DAYS_DEFAULT)
        if not start < end or end - start > timedelta(days=DAYS_MAX):
            raise FieldInvalid(
                field="start_time",
                got=f"{start.isoformat()} to {end.isoformat()}",
                expected=f"a range of {DAYS_MAX} days at most",
            )
        return start, end

    def _check_authority(self, principal: Principal, authority: str) -> None:
        regions: Regions = self._reference().regions
        own = principal.authority
        is_below = authority in regions and own in regions and regions.is_within(authority, own)
        if authority != own and not (is_below and authority in self._hosted()):
            raise PeerNotAllowed(
                principal=principal.name,
                got=f"authority {authority}",
                expected=f"{own}, or one below it that this node hosts",
            )

    def _report(
        self, stage: Stage, comparison: Comparison, *, missing: int, is_cut: bool
    ) -> Report:
        report = Report(
            authority=comparison.authority,
            draft=stage.draft,
            baseline=stage.baseline,
            first=comparison.first,
            last=comparison.last,
            on=stage.on,
            examined=comparison.examined,
            moved=comparison.moved,
            beside=comparison.beside,
            by_another_rule=comparison.by_another_rule,
            missing=missing,
            is_cut=is_cut,
            flows=comparison.flows(),
            balances=comparison.balances(),
            authorities=comparison.authorities(),
        )
        names = {
            target: name
            for target in _targets(report.flows, (*report.balances, *report.authorities))
            if (name := name_of_target(target, self._reference(), stage.after.reference))
        }
        return replace(report, names=names)


async def _compare(comparison: Comparison, stage: Stage, page: Sequence[Past]) -> None:
    for number, past in enumerate(page, 1):
        before, after = stage.before.decide(past), stage.after.decide(past)
        comparison.add(past.ticket, past.now, before=before, after=after)
        if number % DECISIONS_AT_ONCE == 0:
            await asyncio.sleep(0)


def _targets(flows: Iterable[Flow], balances: Iterable[Balance]) -> set[str]:
    found = {balance.target for balance in balances}
    for flow in flows:
        found |= {flow.before.target, flow.after.target}
    return found


def name_of_target(target: str, *data: Reference) -> str:
    """Return the Chinese name of a destination, or an empty text."""
    code = target.removeprefix("authorities/")
    for reference in data:
        unit = reference.units.find(target.removeprefix("units/"))
        if unit is not None:
            return unit.name
        if code in reference.regions:
            return reference.regions.name(code)
    return ""
