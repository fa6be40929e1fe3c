"""Tables and queries of publishing, and rows as values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from gateway.database.table import Group, Query, RowsOf, Table, load_queries
from gateway.kernel.codes import (
    MisrouteReason,
    MisrouteResolution,
    MisrouteState,
    PublicationKind,
    RulePackState,
)
from gateway.kernel.time import Instant
from gateway.publishing.model import Activation, Misroute, RuleCount, Version

_SQL = load_queries(Path(__file__).with_name("queries.sql"))
Given = Mapping[str, Any]
RULES_CHANNEL = "lubiao_rules"  # on which the database announces each generation
GENERATION_SQL = "SELECT generation FROM rule_generation WHERE id = 1"
FIRST_GENERATION = 1  # of a database in which nothing was published


@dataclass(frozen=True, slots=True)
class SourceRow:
    """The bytes of a version."""

    version: str
    source: bytes


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A `Version`, flat."""

    pack: str
    version: str
    owner: str
    title: str
    rule_count: int
    state: int
    revision: int
    editor: str
    approver: str
    created: Instant
    changed: Instant
    effective: Instant | None
    reason: str
    founding: bool
    finding_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationRow:
    """An `Activation` with what was signed about it."""

    pack: str
    sequence: int
    version: str
    kind: int
    effective: Instant
    generation: int
    issued: int
    withdrawn: bool
    actor: str
    reason: str
    recorded: Instant
    statement: bytes = b""
    key_id: str = ""
    signature: bytes = b""


@dataclass(frozen=True, slots=True)
class ActivationLine:
    """An `Activation`, flat."""

    pack: str
    sequence: int
    version: str
    kind: int
    effective: Instant
    withdrawn: bool


@dataclass(frozen=True, slots=True)
class Numbers:
    """The greatest numbers of a pack's activations; 0 without any."""

    sequence: int
    issued: int


@dataclass(frozen=True, slots=True)
class RuleIdRow:
    """To whom an id belongs."""

    id: str
    pack: str
    owner: str
    dropped: str


@dataclass(frozen=True, slots=True)
class GenerationRow:
    """How often what is in force changed."""

    id: int
    generation: int


@dataclass(frozen=True, slots=True)
class Generation:
    """The generation, as a query returns it."""

    generation: int


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """A part of a peer's summary, as it was signed."""

    pack: str
    part: int
    owner: str
    version: str
    sequence: int
    parts: int
    statement: bytes
    key_id: str
    signature: bytes
    received: Instant


@dataclass(frozen=True, slots=True)
class ToldRow:
    """Which publication of a pack a node was told."""

    pack: str
    node: str
    sequence: int


@dataclass(frozen=True, slots=True)
class MisrouteRow:
    """A `Misroute`, flat."""

    authority: str
    misroute: str
    reporter: str
    owner: str
    pack: str
    version: str
    rule: str
    ticket: str
    reason: int
    proposed_target: str
    occurrences: int
    state: int
    resolution: int
    resolution_version: str
    reported: Instant
    due: Instant
    escalated: bool
    answered: Instant | None
    answerer: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """Misroutes without an answer."""

    open: int
    overdue: int


@dataclass(frozen=True, slots=True)
class FailureRow:
    """How often a condition failed, and how many of these were reported."""

    pack: str
    version: str
    rule: str
    authority: str
    error: str
    occurrences: int
    reported: int
    first_seen: Instant
    last_seen: Instant


SOURCES = Table("rule_sources", SourceRow, key=("version",))
VERSIONS = Table("rule_versions", VersionRow, key=("pack", "version"))
ACTIVATIONS = Table("rule_activations", ActivationRow, key=("pack", "sequence"))
ACTIVATIONS_OF = Group(ACTIVATIONS, ("pack", "version"))
RULE_IDS = Table("rule_ids", RuleIdRow, key=("id",))
IDS_OF_PACK = Group(RULE_IDS, ("pack",))
GENERATION = Table("rule_generation", GenerationRow, key=("id",))
SUMMARIES = Table("pack_summaries", SummaryRow, key=("pack", "part"))
SUMMARY_OF = Group(SUMMARIES, ("pack",))
TOLD = Table("packs_told", ToldRow, key=("pack", "node"))
MISROUTES = Table("misroutes", MisrouteRow, key=("authority", "misroute"))
FAILURES = Table("rule_failures", FailureRow, key=("pack", "version", "rule", "authority"))
FAILURE_OF = Group(FAILURES, ("pack", "version", "rule", "authority"))


# --- the twins ----------------------------------------------------------------------------------


def _generation(rows: RowsOf, _given: Given) -> Iterable[Generation]:
    found = [row.generation for row in rows(GENERATION)]
    return [Generation(found[0] if found else FIRST_GENERATION)]


def _activations(rows: RowsOf, given: Given) -> Iterable[ActivationLine]:
    lines = sorted(
        (row for row in rows(ACTIVATIONS) if not row.withdrawn),
        key=lambda row: (row.pack, row.effective, row.sequence),
    )
    newest = {row.pack: row for row in lines if row.effective <= given["since"]}
    kept = [row for row in lines if row.effective > given["since"] or newest[row.pack] is row]
    names = [one.name for one in fields(ActivationLine)]
    return [ActivationLine(*(getattr(row, name) for name in names)) for row in kept]


def _numbers(rows: RowsOf, given: Given) -> Iterable[Numbers]:
    found = [row for row in rows(ACTIVATIONS) if row.pack == given["pack"]]
    sequence = max((row.sequence for row in found), default=0)
    return [Numbers(sequence, max((row.issued for row in found), default=0))]


def _past(rows: RowsOf, given: Given) -> Iterable[ActivationLine]:
    found = [
        row
        for row in rows(ACTIVATIONS)
        if row.pack == given["pack"]
        and not row.withdrawn
        and row.effective <= given["now"]
        and row.version
        and row.version.startswith(given["prefix"])
    ]
    found.sort(key=lambda row: (row.effective, row.sequence), reverse=True)
    names = [one.name for one in fields(ActivationLine)]
    lines = [ActivationLine(*(getattr(row, name) for name in names)) for row in found]
    return lines[: given["limit"]]


def _newest(rows: RowsOf, given: Given) -> Iterable[VersionRow]:
    before = (given["before_time"], given["before_pack"], given["before_version"])
    found = [
        row
        for row in rows(VERSIONS)
        if given["pack"] in {"", row.pack} and (before[0] is None or _place(row) < before)
    ]
    return sorted(found, key=_place, reverse=True)[: given["limit"]]


def _by_prefix(rows: RowsOf, given: Given) -> Iterable[VersionRow]:
    found = [
        row
        for row in rows(VERSIONS)
        if row.pack == given["pack"] and row.version.startswith(given["prefix"])
    ]
    return sorted(found, key=lambda row: row.version)[:2]


def _in_state(rows: RowsOf, given: Given) -> Iterable[VersionRow]:
    found = [r for r in rows(VERSIONS) if r.pack == given["pack"] and r.state == given["state"]]
    return sorted(found, key=lambda row: row.version)


def _summaries(rows: RowsOf, _given: Given) -> Iterable[SummaryRow]:
    return sorted(rows(SUMMARIES), key=lambda row: (row.pack, row.part))


def _oldest(rows: RowsOf, given: Given) -> Iterable[MisrouteRow]:
    after = (given["after_time"], given["after_misroute"])
    found = [
        row
        for row in rows(MISROUTES)
        if row.authority == given["authority"]
        and (row.reported, row.misroute) > after
        and (given["answered"] or row.state == MisrouteState.OPEN)
        and (not given["overdue"] or _is_overdue(row, given["now"]))
    ]
    return sorted(found, key=lambda row: (row.reported, row.misroute))[: given["limit"]]


def _counts(rows: RowsOf, given: Given) -> Iterable[RuleCount]:
    groups: dict[tuple[str, str], list[MisrouteRow]] = {}
    for row in rows(MISROUTES):
        if row.authority == row.owner == given["authority"]:
            groups.setdefault((row.pack, row.rule), []).append(row)
    changed = {MisrouteResolution.RULE_CHANGED, MisrouteResolution.RULE_ADDED}
    found = [
        RuleCount(
            pack=pack,
            rule=rule,
            reported=sum(max(row.occurrences, 1) for row in group),
            open=sum(row.state == MisrouteState.OPEN for row in group),
            overdue=sum(_is_overdue(row, given["now"]) for row in group),
            rule_changed=sum(row.resolution in changed for row in group),
        )
        for (pack, rule), group in groups.items()
    ]
    return sorted(found, key=lambda one: (-one.reported, one.pack, one.rule))[: given["limit"]]


def _waiting(rows: RowsOf, given: Given) -> Iterable[Waiting]:
    found = [
        row
        for row in rows(MISROUTES)
        if row.state == MisrouteState.OPEN and row.authority == row.owner
    ]
    overdue = sum(_is_overdue(row, given["now"]) for row in found)
    return [Waiting(len(found) - overdue, overdue)]


def _unreported(rows: RowsOf, given: Given) -> Iterable[FailureRow]:
    found = [row for row in rows(FAILURES) if row.occurrences > row.reported]
    return sorted(found, key=lambda r: (r.pack, r.version, r.rule, r.authority))[: given["limit"]]


def _place(row: VersionRow) -> tuple[Instant, str, str]:
    return row.created, row.pack, row.version


def _is_overdue(row: MisrouteRow, now: Instant) -> bool:
    return row.state == MisrouteState.OPEN and row.due < now


HOLD_RULES = Query("hold_rules", Generation, _SQL["hold_rules"], _generation)
TAKE_RULES = Query("take_rules", Generation, _SQL["take_rules"], _generation)
ACTIVATIONS_SINCE = Query(
    "activations_since", ActivationLine, _SQL["activations_since"], _activations
)
ACTIVATION_NUMBERS = Query("activation_numbers", Numbers, _SQL["activation_numbers"], _numbers)
ACTIVATIONS_PAST = Query("activations_past", ActivationLine, _SQL["activations_past"], _past)
VERSIONS_NEWEST = Query("versions_newest", VersionRow, _SQL["versions_newest"], _newest)
VERSIONS_BY_PREFIX = Query("versions_by_prefix", VersionRow, _SQL["versions_by_prefix"], _by_prefix)
VERSIONS_IN_STATE = Query("versions_in_state", VersionRow, _SQL["versions_in_state"], _in_state)
SUMMARIES_ALL = Query("summaries_all", SummaryRow, _SQL["summaries_all"], _summaries)
MISROUTES_OLDEST = Query("misroutes_oldest", MisrouteRow, _SQL["misroutes_oldest"], _oldest)
MISROUTE_COUNTS = Query("misroute_counts", RuleCount, _SQL["misroute_counts"], _counts)
MISROUTES_WAITING = Query("misroutes_waiting", Waiting, _SQL["misroutes_waiting"], _waiting)
FAILURES_UNREPORTED = Query(
    "failures_unreported", FailureRow, _SQL["failures_unreported"], _unreported
)


# --- rows and values ----------------------------------------------------------------------------


def version_of(row: VersionRow) -> Version:
    """Return the value of a row."""
    values = {one.name: getattr(row, one.name) for one in fields(VersionRow)}
    return Version(**values | {"state": RulePackState(row.state)})


def version_row(version: Version) -> VersionRow:
    """Return the row of a value."""
    values = {one.name: getattr(version, one.name) for one in fields(VersionRow)}
    return VersionRow(**values | {"state": int(version.state)})


def activation_of(row: ActivationLine | ActivationRow) -> Activation:
    """Return the value of a row."""
    return Activation(
        pack=row.pack,
        sequence=row.sequence,
        version=row.version,
        kind=PublicationKind(row.kind),
        effective=row.effective,
        withdrawn=row.withdrawn,
    )


def misroute_of(row: MisrouteRow) -> Misroute:
    """Return the value of a row."""
    values = {one.name: getattr(row, one.name) for one in fields(MisrouteRow)}
    codes = {
        "reason": MisrouteReason(row.reason),
        "state": MisrouteState(row.state),
        "resolution": MisrouteResolution(row.resolution),
    }
    return Misroute(**values | codes)


def misroute_row(misroute: Misroute) -> MisrouteRow:
    """Return the row of a value."""
    values = {one.name: getattr(misroute, one.name) for one in fields(MisrouteRow)}
    codes = {name: int(values[name]) for name in ("reason", "state", "resolution")}
    return MisrouteRow(**values | codes)
