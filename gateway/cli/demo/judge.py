"""The judge: what the nodes say against what was submitted and what was expected. Pure.

`lost` and `duplicated` compare the submitters' own lists with the nodes' answers: an acknowledged
message is lost when its origin no longer knows it or nobody holds it, and doubled when it has two
tickets or two custodians. A ticket is counted where its custodian's copy stands; one that is in no
final state and in no human queue is unsettled and breaks the sum on purpose.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

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


@dataclass(frozen=True, slots=True)
class CaseResult:
    """How one case ended."""

    id: int
    expected: Facts
    got: Facts

    @property
    def is_ok(self) -> bool:
        """Whether it ended as it must."""
        return dict(self.got) == dict(self.expected)


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
    def is_good(self) -> bool:
        """Whether nothing was lost or doubled and every case ended as its row says."""
        return (
            self.is_settled
            and not self.lost
            and not self.duplicated
            and all(case.is_ok for case in self.cases)
        )


def judge(
    submitted: Sequence[Submitted],
    copies: Iterable[Copy],
    expectations: Sequence[Expectation],
    *,
    messages: Mapping[str, frozenset[str]],
) -> Verdict:
    """Return the verdict on what the nodes answered.

    Args:
        submitted: what each submitter says it sent and what was acknowledged.
        copies: every copy at every authority.
        expectations: how the cases must end.
        messages: the external ids that each platform was given to hand in.
    """
    by_number: dict[str, list[Copy]] = {}
    for copy in copies:
        by_number.setdefault(copy.number, []).append(copy)
    acknowledged = {
        (entry.platform, external_id): number
        for entry in submitted
        for external_id, number in entry.acknowledged.items()
    }
    children = {number for number, found in by_number.items() if any(c.parent for c in found)}
    places = Counter(_place_of(found) for found in by_number.values())
    given = {(name, key) for name, keys in messages.items() for key in keys}
    return Verdict(
        tickets=len(by_number) - len(children),
        children=len(children),
        places={place: places.get(place, 0) for place in Place},
        lost=tuple(sorted(_lost(submitted, by_number))),
        duplicated=tuple(sorted(_duplicated(by_number))),
        unacknowledged=tuple(sorted(key for name, key in given - set(acknowledged))),
        disagreeing=tuple(sorted(n for n, found in by_number.items() if _disagree(found))),
        cases=tuple(
            _case_result(
                item, by_number.get(acknowledged.get((item.platform, item.external_id), ""), [])
            )
            for item in expectations
        ),
    )


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


def _duplicated(by_number: Mapping[str, Sequence[Copy]]) -> set[str]:
    doubled = set()
    numbers: dict[tuple[str, str], set[str]] = {}
    for number, copies in by_number.items():
        for copy in copies:
            if copy.authority == copy.origin and not copy.parent:
                numbers.setdefault((copy.platform, copy.external_id), set()).add(number)
        if sum(1 for copy in copies if not copy.is_followed) > 1:
            doubled.add(number)
    for (platform, external_id), found in numbers.items():
        if len(found) > 1:
            doubled.add(f"{platform}/{external_id}")
    return doubled


def _disagree(copies: Sequence[Copy]) -> bool:
    """Tell whether the copies still differ about state or custodian."""
    return len({(copy.state, copy.custodian, copy.is_rated) for copy in copies}) > 1


def _case_result(expectation: Expectation, copies: Sequence[Copy]) -> CaseResult:
    everything = _facts(copies)
    got: dict[str, object] = {}
    for key, value in expectation.expected.items():
        if key == "never_units":
            forbidden = value if isinstance(value, list) else []
            units = {unit for copy in copies for unit in copy.units}
            got[key] = [unit for unit in forbidden if unit not in units]
        else:
            got[key] = everything.get(key)
    return CaseResult(id=expectation.id, expected=expectation.expected, got=got)


def _facts(copies: Sequence[Copy]) -> dict[str, object]:
    """Return what the nodes say about one ticket; nothing while nobody or two hold it."""
    held = custodian_copy(copies)
    if held is None:
        return {}
    states = sorted({copy.state for copy in copies})
    region, _, rest = held.unit.partition("-")
    return {
        "custodians": list(longest_path(copies)),
        "unit": held.unit,
        "unit_region": region,
        "unit_kind": rest.rpartition("-")[0],
        "region": held.region,
        "rated": all(copy.is_rated for copy in copies),
        "ends": states[0] if len(states) == 1 else "/".join(states),
        "line": held.line,
        "referred_to": held.referred_to,
        "has_sheet": held.has_sheet,
        "has_answer": held.has_answer,
    }
