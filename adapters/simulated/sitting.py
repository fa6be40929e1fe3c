"""What a panel does next about a case, and what the parties say in it. Pure.

A panel sees codes and no text of the ticket: matter, place, urgency, who held it. What it does with
some matters stands in `samples/disputes.yaml`, by the authority of the panel: for how many
positions it waits, who is heard together, what the minutes say, who gets the ticket. Of anything
else it rules at once for the authority of the place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hotline.arbitration.v1 import case_pb2
from hotline.custody.v1 import custody_pb2

NATION = "100000"
PATIENCE_SECONDS = 60.0  # then a panel goes on without the positions that it waits for
BASIS = "属地管理原则；首接负责制（待核实）"
REASONS = "事发地在其辖区，由其承办，其他机构配合。（演示数据）"
OPEN = frozenset(
    {case_pb2.Case.STATE_FILED, case_pb2.Case.STATE_REVIEW, case_pb2.Case.STATE_CONFERENCE}
)
Script = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TakeUp:
    """Begin the review."""


@dataclass(frozen=True, slots=True)
class Convene:
    """Hear the parties together."""


@dataclass(frozen=True, slots=True)
class Record:
    """Put the minutes of the conference on record."""

    attended: tuple[str, ...]
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Rule, or name somebody for the time being."""

    kind: custody_pb2.Ruling.Kind.ValueType
    target: str
    basis: str = BASIS
    reasons: str = REASONS
    form: str = ""
    parts: tuple[str, ...] = ()
    sets_precedent: bool = False
    facts: tuple[str, ...] = ()  # that count for a precedent


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """What a party says: whose the ticket is, on what clause."""

    party: str
    owner: str
    basis: str
    words: str


Act = TakeUp | Convene | Record | Rule


def next_act(case: case_pb2.Case, scripts: Sequence[Script], *, waited: float) -> Act | None:
    """Return what the panel does next about a case; None: it waits, or all is done.

    Args:
        case: the case as a list shows it, without words.
        scripts: what this panel does with some matters.
        waited: for how many seconds the panel has known the case.
    """
    if case.state not in OPEN:
        return None
    script = next((each for each in scripts if each["matter"] == case.facts.matter), None)
    if script is None:
        return _ruling(case, {"target": target_of(case)})
    interim = script.get("interim")
    if interim is not None and not case.rulings:
        return _ruling(case, interim, is_interim=True)
    spoken = {each.party for each in _entries(case, case_pb2.CaseEntry.KIND_POSITION)}
    if len(spoken) < int(script.get("positions", 0)) and waited < PATIENCE_SECONDS:
        return None
    if case.state == case_pb2.Case.STATE_FILED:
        return TakeUp()
    conference = script.get("conference")
    if conference is not None:
        if case.state == case_pb2.Case.STATE_REVIEW:
            return Convene()
        if not _entries(case, case_pb2.CaseEntry.KIND_MINUTES):
            return Record(tuple(map(str, conference["attended"])), str(conference["minutes"]))
    return _ruling(case, script["ruling"])


def positions_due(
    case: case_pb2.Case, scripts: Sequence[Script], *, authority: str
) -> list[Position]:
    """Return what the people of an authority have to say in a case and have not said yet."""
    if case.state not in OPEN:
        return []
    parties = {case.responsible, *case.path, *case.proposed_targets, *case.filers}
    said = {each.party for each in _entries(case, case_pb2.CaseEntry.KIND_POSITION)}
    found = [
        Position(
            party=str(each.get("party", authority)),
            owner=str(each["owner"]),
            basis=str(each["basis"]),
            words=str(each["words"]),
        )
        for each in scripts
        if each["matter"] == case.facts.matter
    ]
    return [each for each in found if each.party in parties and each.party not in said]


def target_of(case: case_pb2.Case) -> str:
    """Return whose ticket it is: the authority of the place, of those that take part in it."""
    region = case.facts.region
    whole = region[:2] + "0000" if case.scope == NATION else region[:4] + "00"
    parties = {case.responsible, *case.path, *case.proposed_targets, *case.filers}
    return whole if region and whole in parties else case.responsible


def _ruling(case: case_pb2.Case, said: Script, *, is_interim: bool = False) -> Rule:
    target = str(said["target"])
    kind = custody_pb2.Ruling.KIND_REASSIGN
    if is_interim:
        kind = custody_pb2.Ruling.KIND_INTERIM
    elif target == case.responsible:
        kind = custody_pb2.Ruling.KIND_UPHOLD
    return Rule(
        kind=kind,
        target=target,
        basis=str(said.get("basis", BASIS)),
        reasons=str(said.get("reasons", REASONS)),
        form=str(said.get("form", "")),
        parts=tuple(map(str, said.get("parts", ()))),
        sets_precedent=bool(said.get("precedent", False)),
        facts=tuple(map(str, said.get("facts", ()))),
    )


def _entries(
    case: case_pb2.Case, kind: case_pb2.CaseEntry.Kind.ValueType
) -> list[case_pb2.CaseEntry]:
    return [each for each in case.entries if each.kind == kind]
