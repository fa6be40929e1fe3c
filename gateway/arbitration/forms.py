"""What each form of a ruling needs and forbids: pure (docs/arbitration.md#forms).

A form says how the ticket is handled besides who holds it. `FORMS` is the whole truth about which
kind of ruling, which level, how many parts, and what else an order of a form must have; what an
order has and its form does not use is refused too, so that nothing signed is without a meaning.
Whether a named body exists and may take its part is the `Ruler`'s to check.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.arbitration.model import Case, Order, is_unit
from gateway.kernel.codes import CaseLevel, CaseRulingForm, RulingKind
from gateway.kernel.errors import FieldInvalid
from gateway.kernel.ids import is_ticket_number

PARTS_MAX = 8  # as many children as a ruling can follow
_DAY = slice(6, 14)  # of a ticket number
_Form = CaseRulingForm
_Kind = RulingKind
_PROPER = frozenset({_Kind.UPHOLD, _Kind.REASSIGN})
_ANY_LEVEL = frozenset({CaseLevel.UNITS, CaseLevel.AUTHORITIES, CaseLevel.PROVINCES})


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What an order of one form must have; everything not named it must not have."""

    kinds: frozenset[RulingKind] = _PROPER
    levels: frozenset[CaseLevel] = _ANY_LEVEL
    has_parts: bool = False
    has_matters: bool = False
    has_earlier: bool = False


FORMS: Mapping[CaseRulingForm, Need] = {
    _Form.UNSPECIFIED: Need(kinds=frozenset(_Kind)),
    _Form.LEAD_ASSIST: Need(has_parts=True),
    _Form.JOINT: Need(has_parts=True),
    _Form.SPLIT: Need(has_parts=True, has_matters=True),
    _Form.MERGE: Need(has_earlier=True),
    _Form.REFER_OUT: Need(
        kinds=frozenset({_Kind.REASSIGN}), levels=frozenset({CaseLevel.AUTHORITIES})
    ),
    # Whose desk tells the citizen is the holder's: nobody is turned away by moving him first.
    _Form.LEGAL: Need(kinds=frozenset({_Kind.UPHOLD})),
    _Form.BEYOND_DUTY: Need(kinds=frozenset({_Kind.UPHOLD})),
}


def check_form(case: Case, order: Order) -> None:
    """Return if an order has what its form needs, and nothing else.

    Raises:
        FieldInvalid: it has not; the error names the field and what it must be.
    """
    need, form = FORMS[order.form], order.form.name
    if order.kind not in need.kinds:
        raise FieldInvalid(
            field="form",
            got=f"{form} with {order.kind.name}",
            expected=f"{form} with {_names(need.kinds)}",
        )
    if case.level not in need.levels:
        raise FieldInvalid(
            field="form",
            got=f"{form} at level {case.level.name}",
            expected=f"{form} at {_names(need.levels)}; here give the ticket to one of the level",
        )
    _check_parts(case, order, need)
    _check_earlier(case, order, need)


def _check_parts(case: Case, order: Order, need: Need) -> None:
    parties = [part.party for part in order.parts]
    matters = [part.matter for part in order.parts]
    problem = ""
    if need.has_parts and not 1 <= len(parties) <= PARTS_MAX:
        problem = f"1 to {PARTS_MAX} parts: who does what besides the target"
    elif not need.has_parts and parties:
        problem = f"no parts with {order.form.name}; LEAD_ASSIST, JOINT and SPLIT have parts"
    elif len(set(parties)) < len(parties):
        problem = "each party once"
    elif order.target in parties:
        problem = f"others than the target {order.target}, which leads"
    elif any(is_unit(party) != (case.level is CaseLevel.UNITS) for party in parties):
        problem = f"parties of level {case.level.name}, as the target is"
    elif need.has_matters and (not all(matters) or len({*matters}) < len(matters)):
        problem = "a matter for each part, each matter once"
    elif need.has_matters and case.facts.matter in matters:
        problem = f"other matters than the ticket's own {case.facts.matter}, which stays with it"
    elif not need.has_matters and any(matters):
        problem = f"no matters with {order.form.name}; only SPLIT divides by matter"
    if problem:
        got = ", ".join(f"{part.party}:{part.matter}".rstrip(":") for part in order.parts)
        raise FieldInvalid(field="parts", got=got or "none", expected=problem)


def _check_earlier(case: Case, order: Order, need: Need) -> None:
    number = order.merge_into
    problem = ""
    if need.has_earlier and not is_ticket_number(number):
        problem = "the number of the earlier ticket"
    elif not need.has_earlier and number:
        problem = f"none with {order.form.name}; only MERGE has an earlier ticket"
    elif number == case.ticket or number[_DAY] > case.ticket[_DAY]:
        problem = f"a ticket that is older than {case.ticket}"
    if problem:
        raise FieldInvalid(field="merge_into", got=number or "none", expected=problem)


def _names(codes: frozenset[RulingKind] | frozenset[CaseLevel]) -> str:
    return ", ".join(sorted(code.name for code in codes))
