"""The judge: what the nodes say against what was submitted and what was expected. Pure.

`lost` and `duplicated` compare the submitters' own lists with the nodes' answers: an acknowledged
message is lost when its origin no longer knows it or nobody holds it, and doubled when it has two
tickets or two custodians. A ticket is counted where its custodian's copy stands; one that is in no
final state and in no human queue is unsettled and breaks the sum on purpose.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from gateway.cli.demo.disputes import CaseFile, newest_by_ticket
from gateway.cli.demo.proposed import ProposedRule

Facts = Mapping[str, object]


class Place(Enum):
    """Where a ticket is counted."""

    COMPLETED = "completed"
    REFERRED = "referred"
    MERGED = "merged"
    WITHDRAWN = "withdrawn"
    IN_TRIAGE = "in_triage"
    IN_CASE = "in_case"
    UNSETTLED = "unsettled"


AS_EXPECTED_MIN = 0.95  # of the variations
RULED = "ruling."  # how the id of a rule begins that came out of a ruling
DESK = "-desk"  # how the id of a triage desk ends
FINAL = {
    "CLOSED": Place.COMPLETED,
    "REFERRED": Place.REFERRED,
    "MERGED": Place.MERGED,
    "WITHDRAWN": Place.WITHDRAWN,
}


@dataclass(frozen=True, slots=True)
class Copy:
    """One authority's copy of a ticket, as its node answered."""

    number: str
    authority: str
    node: str
    origin: str
    platform: str
    external_id: str
    is_followed: bool
    state: str
    custodian: str
    path: tuple[str, ...]
    case: str
    action: str
    rule: str
    unit: str
    units: tuple[str, ...]
    unit_name: str
    region: str
    is_rated: bool
    is_overdue: bool
    line: str
    referred_to: str
    has_sheet: bool
    has_answer: bool
    parent: str = ""
    purpose: str = ""
    is_provisional: bool = False
    is_secret: bool = False
    asked: int = 0
    answered: int = 0
    explanation: str = ""
    named: tuple[tuple[str, str], ...] = ()  # units and what they are called
    requests: tuple[tuple[str, str, str], ...] = ()  # body, unit that is bound, answer


@dataclass(frozen=True, slots=True)
class Submitted:
    """The list of one platform's submitter."""

    platform: str
    authority: str
    sent: frozenset[str]
    acknowledged: Mapping[str, str]  # external id -> ticket number


@dataclass(frozen=True, slots=True)
class Expectation:
    """How one case must end."""

    id: int
    platform: str
    external_id: str
    expected: Facts
    weight: int = 0
    varied: Facts = field(default_factory=dict)
    after_rule: bool = False  # handed in when a rule that a ruling proposed is in force


@dataclass(frozen=True, slots=True)
class CaseResult:
    """How one case ended."""

    id: int
    expected: Facts
    got: Facts
    dispute: CaseFile | None = None

    @property
    def is_ok(self) -> bool:
        """Whether it ended as it must."""
        return dict(self.got) == dict(self.expected)


@dataclass(frozen=True, slots=True)
class Variations:
    """How the variations of the cases ended.

    `waiting` counts those in triage or a case, `otherwise` those that ended against their row, both
    by what the nodes say about them.
    """

    count: int = 0
    as_expected: int = 0
    waiting: Mapping[str, int] = field(default_factory=dict)
    otherwise: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        """Whether enough ended as their row says, and all others wait for a person."""
        return not self.otherwise and self.as_expected >= AS_EXPECTED_MIN * self.count


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came out of a demonstration."""

    tickets: int
    children: int
    places: Mapping[Place, int]
    lost: tuple[str, ...]
    duplicated: tuple[str, ...]
    unacknowledged: tuple[str, ...]
    disagreeing: tuple[str, ...]
    cases: tuple[CaseResult, ...]
    variations: Variations = Variations()
    named: Mapping[str, str] = field(default_factory=dict)  # what units are called
    proposed: tuple[ProposedRule, ...] = ()

    @property
    def is_settled(self) -> bool:
        """Whether every ticket is in a final state or a human queue and all copies agree."""
        counted = sum(count for place, count in self.places.items() if place != Place.UNSETTLED)
        return (
            not self.unacknowledged
            and not self.disagreeing
            and counted == self.tickets + self.children
        )

    @property
    def disputes(self) -> Mapping[str, CaseFile]:
        """The disputes of the cases, by ticket."""
        return {each.dispute.ticket: each.dispute for each in self.cases if each.dispute}

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost or doubled and every case ended as its row says."""
        return (
            self.is_settled
            and not self.lost
            and not self.duplicated
            and all(case.is_ok for case in self.cases)
            and self.variations.is_good
        )


def judge(
    submitted: Sequence[Submitted],
    copies: Iterable[Copy],
    expectations: Sequence[Expectation],
    *,
    varied: Sequence[Expectation] = (),
    case_files: Iterable[CaseFile] = (),
    proposed: Iterable[ProposedRule] = (),
) -> Verdict:
    """Return the verdict on what the nodes answered.

    Args:
        submitted: what each submitter says it sent and what was acknowledged.
        copies: every copy at every authority.
        expectations: how the cases must end.
        varied: how their variations must end; with the cases all that the platforms hand in.
        case_files: the disputes, as the arbiters show them.
        proposed: the rules that rulings proposed.
    """
    world = _World.of(copies, case_files)
    acknowledged = {
        (entry.platform, external_id): number
        for entry in submitted
        for external_id, number in entry.acknowledged.items()
    }
    children = {number for number, found in world.copies.items() if any(c.parent for c in found)}
    places = Counter(_place_of(found) for found in world.copies.values())
    given = {(item.platform, item.external_id) for item in (*expectations, *varied)}

    def result_of(item: Expectation) -> CaseResult:
        number = acknowledged.get((item.platform, item.external_id), "")
        found = _case_result(item, world.facts(number), world.units(number))
        return replace(found, dispute=world.case_files.get(number))

    return Verdict(
        tickets=len(world.copies) - len(children),
        children=len(children),
        places={place: places.get(place, 0) for place in Place},
        lost=tuple(sorted(_lost(submitted, world.copies))),
        duplicated=tuple(sorted(_duplicated(submitted, world.copies))),
        unacknowledged=tuple(sorted(key for name, key in given - set(acknowledged))),
        disagreeing=tuple(sorted(n for n, found in world.copies.items() if _disagree(found))),
        cases=tuple(result_of(item) for item in expectations),
        variations=_variations(
            [
                (
                    result_of(item),
                    world.copies.get(acknowledged.get((item.platform, item.external_id), ""), []),
                )
                for item in varied
            ]
        ),
        named=world.named,
        proposed=tuple(proposed),
    )


@dataclass(frozen=True, slots=True)
class _World:
    """Everything that was answered, by ticket."""

    copies: Mapping[str, Sequence[Copy]]
    children: Mapping[str, Sequence[str]]  # numbers by the number of the parent
    case_files: Mapping[str, CaseFile]

    @classmethod
    def of(cls, copies: Iterable[Copy], case_files: Iterable[CaseFile]) -> _World:
        by_number: dict[str, list[Copy]] = {}
        children: dict[str, dict[str, None]] = {}
        for copy in copies:
            by_number.setdefault(copy.number, []).append(copy)
            if copy.parent:
                children.setdefault(copy.parent, {})[copy.number] = None
        return cls(
            copies=by_number,
            children={parent: list(found) for parent, found in children.items()},
            case_files=newest_by_ticket(list(case_files)),
        )

    @property
    def named(self) -> dict[str, str]:
        """Return what units are called."""
        copies = [copy for found in self.copies.values() for copy in found]
        return {unit: name for copy in copies for unit, name in copy.named}

    def units(self, number: str) -> set[str]:
        """Return every unit that a ticket was ever assigned to."""
        return {unit for copy in self.copies.get(number, ()) for unit in copy.units}

    def facts(self, number: str) -> dict[str, object]:
        """Return what the nodes say about one ticket; nothing while nobody or two hold it."""
        copies = self.copies.get(number, ())
        held = custodian_copy(copies)
        if held is None:
            return {}
        region, _, rest = held.unit.partition("-")
        file = self.case_files.get(number)
        return {
            "custodians": list(longest_path(copies)),
            "unit": held.unit,
            "unit_region": region,
            "unit_kind": rest.rpartition("-")[0],
            "region": held.region,
            "rule": held.rule,
            "rated": all(copy.is_rated for copy in copies),
            "ends": _state_of(copies),
            "line": held.line,
            "referred_to": held.referred_to,
            "has_sheet": held.has_sheet,
            "has_answer": held.has_answer,
            "due_provisional": held.is_provisional,
            "secrecy": all(copy.is_secret for copy in copies),
            "asked": max(copy.asked for copy in copies),
            "answered": max(copy.answered for copy in copies),
            "children": sorted(self._child(each) for each in self.children.get(number, ())),
            "case": dict(file.facts) if file else None,
            "by_ruling": held.rule.startswith(RULED),
            "requests": [list(each) for each in held.requests],
        }

    def _child(self, number: str) -> list[str]:
        copies = self.copies[number]
        held = custodian_copy(copies)
        return [held.custodian if held else "", copies[0].purpose, _state_of(copies)]


def custodian_copy(copies: Sequence[Copy]) -> Copy | None:
    """Return the copy of the authority that holds the ticket, if it is exactly one."""
    held = [copy for copy in copies if not copy.is_followed]
    return held[0] if len(held) == 1 else None


def longest_path(copies: Sequence[Copy]) -> tuple[str, ...]:
    """Return the custodians in order, as the copy that knows most of them says."""
    return max(copies, key=lambda copy: len(copy.path)).path


def _place_of(copies: Sequence[Copy]) -> Place:
    held = custodian_copy(copies)
    if held is None:
        return Place.UNSETTLED
    if held.state in FINAL:
        return FINAL[held.state]
    if held.case:
        return Place.IN_CASE
    if held.action == "TRIAGE" and not held.unit:
        return Place.IN_TRIAGE
    # A desk also gets what a decision could not be carried out for: an unknown matter, an offer
    # that came back. Only an external referral is still answered by the demonstration itself.
    if held.unit.endswith(DESK) and held.action != "EXTERNAL":
        return Place.IN_TRIAGE
    return Place.UNSETTLED


def _lost(submitted: Sequence[Submitted], by_number: Mapping[str, Sequence[Copy]]) -> set[str]:
    lost = set()
    for entry in submitted:
        for external_id, number in entry.acknowledged.items():
            found = by_number.get(number, ())
            origin = [
                copy
                for copy in found
                if copy.authority == entry.authority and copy.external_id == external_id
            ]
            if not origin or all(copy.is_followed for copy in found):
                lost.add(f"{entry.platform}/{external_id}")
    return lost


def _duplicated(
    submitted: Sequence[Submitted], by_number: Mapping[str, Sequence[Copy]]
) -> set[str]:
    """Return what exists twice, or at an origin without that its submitter knows of it."""
    doubled = set()
    sent = {entry.platform: entry.sent for entry in submitted}
    numbers: dict[tuple[str, str], set[str]] = {}
    for number, copies in by_number.items():
        for copy in copies:
            if copy.authority == copy.origin and not copy.parent:
                numbers.setdefault((copy.platform, copy.external_id), set()).add(number)
                if copy.external_id not in sent.get(copy.platform, {copy.external_id}):
                    doubled.add(number)
        if sum(1 for copy in copies if not copy.is_followed) > 1:
            doubled.add(number)
    for (platform, external_id), found in numbers.items():
        if len(found) > 1:
            doubled.add(f"{platform}/{external_id}")
    return doubled


def _disagree(copies: Sequence[Copy]) -> bool:
    """Tell whether the copies still differ about state or custodian."""
    return len({(copy.state, copy.custodian, copy.is_rated) for copy in copies}) > 1


def _case_result(expectation: Expectation, facts: Facts, units: Collection[str]) -> CaseResult:
    got: dict[str, object] = {}
    for key, value in expectation.expected.items():
        if key == "never_units":
            forbidden = value if isinstance(value, list) else []
            got[key] = [unit for unit in forbidden if unit not in units]
        elif isinstance(value, Mapping) and isinstance(seen := facts.get(key), Mapping):
            got[key] = {name: seen.get(name) for name in value}
        else:
            got[key] = facts.get(key)
    return CaseResult(id=expectation.id, expected=expectation.expected, got=got)


def _variations(results: Sequence[tuple[CaseResult, Sequence[Copy]]]) -> Variations:
    waiting: Counter[str] = Counter()
    otherwise: Counter[str] = Counter()
    for result, copies in results:
        if result.is_ok:
            continue
        place = _place_of(copies)
        held = custodian_copy(copies)
        if held is not None and place in {Place.IN_TRIAGE, Place.IN_CASE}:
            reason = held.explanation or held.rule
            waiting[f"{result.id}: {place.value}: {reason}"] += 1
        else:
            keys = [key for key, value in result.expected.items() if result.got.get(key) != value]
            otherwise[f"{result.id}: {place.value}: {', '.join(keys)}"] += 1
    good = sum(1 for result, _ in results if result.is_ok)
    return Variations(len(results), good, dict(waiting), dict(otherwise))


def _state_of(copies: Sequence[Copy]) -> str:
    return "/".join(sorted({copy.state for copy in copies}))
