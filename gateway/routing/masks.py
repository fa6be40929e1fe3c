"""Small selectors as one number: what a ticket is, against what a clause does not want.

Every value of a code table, every yes-or-no fact and every kind of day is one bit. A ticket is the
sum of the bits that are true of it, a clause the sum of the bits that it forbids. The clause may
select the ticket when the two share no bit: one `&` stands for eleven comparisons. What needs a
list or a clock (which risk tag, which zone, which kind of body, which hours) has a bit only for
tickets that have none at all; whoever passes it is asked by `rest_of`, which few clauses have.

A day of an unpublished year has no bit, so that rules about working days are still found there and
the trace can say why they do not select (`selecting.judge`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from enum import IntEnum
from itertools import count

from gateway.kernel.codes import Channel, SubjectKind, TicketType, Urgency
from gateway.routing.model import DayKind, Moment, RoutingFacts, Selectors, UnitKey

Rest = Callable[[RoutingFacts, int], bool]  # of the facts and the minute of the day
_OTHER = -1  # any number that is newer than our code table
_bits = count()


def _table(codes: Iterable[IntEnum]) -> dict[int, int]:
    return {number: 1 << next(_bits) for number in (*map(int, codes), _OTHER)}


def _flag() -> int:
    """Return two neighbouring bits, no and yes, as the sum of both."""
    return (1 << next(_bits)) | (1 << next(_bits))


_URGENCIES = _table(Urgency)
_TYPES = _table(TicketType)
_SUBJECTS = _table(SubjectKind)
_CHANNELS = _table(Channel)
_SECRECY, _BOUNDARY, _REPORTED, _TAGGED, _ZONED = (_flag() for _ in range(5))
_WORKING, _REST = 1 << next(_bits), 1 << next(_bits)
LANE_BITS = next(_bits) + 1  # all of them, and one that no mask has
_FLAGS = (_SECRECY, _BOUNDARY, _REPORTED, _TAGGED, _ZONED)
_PLAIN = sum(flag & -flag for flag in _FLAGS)  # every flag says no
_IS_WORKING, _IS_REST = DayKind.WORKING, DayKind.REST
# Two codes at once, with every flag that says no: a sum less for each.
_KINDS = {
    type_: {urgency: bit | other | _PLAIN for urgency, other in _URGENCIES.items()}
    for type_, bit in _TYPES.items()
}
_SOURCES = {
    channel: {kind: bit | other for kind, other in _SUBJECTS.items()}
    for channel, bit in _CHANNELS.items()
}


def mask_of(facts: RoutingFacts, moment: Moment) -> int:
    """Return the bits that are true of a ticket at a moment."""
    try:
        mask = _KINDS[facts.type][facts.urgency] | _SOURCES[facts.channel][facts.subject_kind]
    except KeyError:
        mask = _newer_mask(facts)
    kind = moment.day_kind
    if kind is _IS_WORKING:
        mask |= _WORKING
    elif kind is _IS_REST:
        mask |= _REST
    if facts.risk_tags:
        mask ^= _TAGGED
    if facts.zone:
        mask ^= _ZONED
    if facts.reported_units:
        mask ^= _REPORTED
    if facts.secrecy_required:
        mask ^= _SECRECY
    if facts.on_boundary:
        mask ^= _BOUNDARY
    return mask


def forbidden_by(selectors: Selectors) -> int:
    """Return the bits that no ticket has which the selectors select."""
    return (
        _outside(_TYPES, selectors.types)
        | _outside(_URGENCIES, selectors.urgencies)
        | _outside(_CHANNELS, selectors.channels)
        | _outside(_SUBJECTS, selectors.subject_kinds)
        | _refused(_SECRECY, selectors.secrecy_required)
        | _refused(_BOUNDARY, selectors.on_boundary)
        | _refused(_REPORTED, selectors.reported_unit)
        | _refused(_REPORTED, True if selectors.reported_kinds else None)
        | _refused(_TAGGED, True if selectors.risk_tags else None)
        | _refused(_ZONED, True if selectors.zones and "" not in selectors.zones else None)
        | _days_outside(selectors.day_kinds)
    )


def rest_of(selectors: Selectors) -> Rest | None:
    """Return what the mask cannot tell, the condition and the destination apart; None: nothing."""
    tests: list[Rest] = []
    if tags := frozenset(map(int, selectors.risk_tags)):
        tests.append(lambda facts, _: not tags.isdisjoint(facts.risk_tags))
    if zones := selectors.zones:
        tests.append(lambda facts, _: facts.zone in zones)
    if kinds := selectors.reported_kinds:
        tests.append(lambda facts, _: any(_is_of(name, kinds) for name in facts.reported_units))
    if hours := selectors.hours:
        tests.append(lambda _, minute: any(each.contains(minute) for each in hours))
    if len(tests) > 1:
        return lambda facts, minute: all(test(facts, minute) for test in tests)
    return tests[0] if tests else None


def _newer_mask(facts: RoutingFacts) -> int:
    asked = (
        (_TYPES, facts.type),
        (_URGENCIES, facts.urgency),
        (_CHANNELS, facts.channel),
        (_SUBJECTS, facts.subject_kind),
    )
    return _PLAIN | sum(table.get(number, table[_OTHER]) for table, number in asked)


def _outside(table: dict[int, int], wanted: Collection[int]) -> int:
    if not wanted:
        return 0
    return sum(bit for number, bit in table.items() if number not in wanted)


def _refused(flag: int, wanted: bool | None) -> int:
    no = flag & -flag
    if wanted is None:
        return 0
    return no if wanted else flag ^ no


def _days_outside(wanted: Collection[DayKind]) -> int:
    if not wanted:
        return 0
    return (0 if DayKind.WORKING in wanted else _WORKING) | (0 if DayKind.REST in wanted else _REST)


def _is_of(name: str, kinds: Collection[str]) -> bool:
    key = UnitKey.parse(name)
    return key is not None and key.kind in kinds
