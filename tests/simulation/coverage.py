"""Which cells of the protocol's tables were taken, and how often.

The tables of `gateway/custody/states.py` are watched where the machine looks them up; the lines of
received statements (docs/custody.md#tables) where the machine's functions return. A cell counts
when the unit of work that took it has committed; what was rolled back was not taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import wraps
from typing import Any

from gateway.custody import bodies, inquiries, machine, rulings, stand_by
from gateway.custody.model import Holding, Verdict
from gateway.custody.states import ANSWER_ACCEPTED, ANSWER_OTHER, LOCAL
from gateway.custody.steps import Step
from tests.simulation import case_coverage

CARING = (Holding.HELD, Holding.OFFERED, Holding.REVOKING, Holding.YIELDING)

OFFER_LINES = (
    "Offer: answered before, the stored Answer",
    "Offer: invited already, the receipt again",
    "Offer: SUPERSEDED",
    "Offer: DECLINED, LOOP",
    "Offer: DECLINED, HOPS",
    "Offer: invitation",
)
REVOKE_LINES = (
    "Revoke: answered before, the stored Answer",
    "Revoke: ends the invitation, REVOKED",
    "Revoke: offer never seen, REVOKED",
)
ANSWER_LINES = ("Answer: recorded before", "Answer: of an older term, recorded only")
STAND_BY_LINES = (
    "StandBy: moves the window",
    "StandBy: kept, changes nothing",
    "StandBy: taken before",
)
INQUIRY_LINES = (
    "Inquiry: for the desk",
    "Inquiry: too late, or known",
    "InquiryAnswer: kept with the invitation",
    "InquiryAnswer: too late, or known",
)
RULING_LINES = (
    *(f"Ruling: target, TAKEN from {holding.name}" for holding in Holding),
    *(f"Ruling: YIELDING from {holding.name}" for holding in CARING),
    "Ruling: RELEASED(successor)",
    "Ruling: NOT_HELD",
    "Ruling: OUTDATED",
    "Ruling: ends an older invitation",
    "TAKEN: YIELDING to RELEASED",
    "TAKEN: changes no holding",
)

UNREACHABLE = {
    "REVOKING: revoke": "asked again, the same bytes go out, without a step (recall.py)",
    "YIELDING: learn that its term is forked": "who yields has given up acting already (forks.py)",
    "Offer: invited already, the receipt again": "the inbox answers the same bytes (check 6)",
    "StandBy: taken before": "the inbox answers the same bytes (check 6)",
    "Offer: DECLINED, LOOP": "an honest sender's own guard files a case instead (guards.py)",
    "Offer: DECLINED, HOPS": "an honest sender's own guard files a case instead (guards.py)",
    **case_coverage.unreachable(),
}
"""Cells that no run can take, each with the reason; the check of the coverage leaves them out."""


def cells() -> tuple[str, ...]:
    """Return every cell of the tables and every line of the received statements."""
    return (
        *(f"{holding.name}: {event.value}" for holding, event in LOCAL),
        *(f"{holding.name}: own offer ACCEPTED" for holding in ANSWER_ACCEPTED),
        *(f"{holding.name}: own offer answered otherwise" for holding in ANSWER_OTHER),
        *OFFER_LINES,
        *REVOKE_LINES,
        *ANSWER_LINES,
        *STAND_BY_LINES,
        *INQUIRY_LINES,
        *RULING_LINES,
        *case_coverage.cells(),
    )


class Coverage:
    """The cells that one run took."""

    _current: Coverage | None = None
    _is_installed = False

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()
        self._pending: list[str] = []

    @classmethod
    def begin(cls) -> Coverage:
        """Count for a new run from now on."""
        if not cls._is_installed:
            cls._is_installed = True
            _install()
        cls._current = cls()
        return cls._current

    def commit(self) -> None:
        """Count what the unit that has just committed took."""
        self.taken.update(self._pending)
        self._pending.clear()

    def drop(self) -> None:
        """Forget what a unit took that did not commit."""
        self._pending.clear()

    @classmethod
    def note(cls, cell: str) -> None:
        """Note a cell that the open unit takes."""
        if cls._current is not None:
            cls._current._pending.append(cell)

    @classmethod
    def refused(cls, cell: str) -> None:
        """Note a cell that is no transition, and was asked for."""
        if cls._current is not None:
            cls._current.taken[cell] += 1


def missing(taken: Counter[str]) -> list[str]:
    """Return the cells that were never taken, those that cannot be left out."""
    return [cell for cell in cells() if not taken[cell] and cell not in UNREACHABLE]


# --- watching the machine -------------------------------------------------------------------------


class _Watched(dict[Any, Holding]):
    """A table that notes which of its cells are looked up."""

    def __init__(self, table: dict[Any, Holding], name: Callable[[Any], str]) -> None:
        super().__init__(table)
        self._name = name

    def get(self, key: Any, default: Any = None) -> Any:
        found = super().get(key, default)
        if found is not None:
            Coverage.note(self._name(key))
        return found

    def __getitem__(self, key: Any) -> Holding:
        found = super().__getitem__(key)
        Coverage.note(self._name(key))
        return found


def _install() -> None:
    local = _Watched(LOCAL, lambda key: f"{key[0].name}: {key[1].value}")
    accepted = _Watched(ANSWER_ACCEPTED, lambda key: f"{key.name}: own offer ACCEPTED")
    other = _Watched(ANSWER_OTHER, lambda key: f"{key.name}: own offer answered otherwise")
    for name, table in (("LOCAL", local), ("ANSWER_ACCEPTED", accepted), ("ANSWER_OTHER", other)):
        setattr(machine, name, table)
    case_coverage.install(Coverage.note, Coverage.refused)
    _watch(machine, "receive_offer", _offer)
    _watch(machine, "receive_revoke", _revoke)
    _watch(machine, "receive_answer", _answer)
    _watch(stand_by, "receive_stand_by", _stand_by)
    _watch(inquiries, "receive_inquiry", lambda step, _g, _n: INQUIRY_LINES[not step.made])
    _watch(
        inquiries, "receive_answer", lambda step, _g, _n: INQUIRY_LINES[2 + (not step.invitation)]
    )
    _watch(rulings, "receive_ruling", _ruling)
    _watch(rulings, "outdated", lambda step, given, named: "Ruling: OUTDATED")
    _watch(rulings, "receive_taken", _taken)


def _watch(module: Any, name: str, line_of: Callable[[Step, Any, Any], str | None]) -> None:
    original = getattr(module, name)

    @wraps(original)
    def watched(*given: Any, **named: Any) -> Step:
        step: Step = original(*given, **named)
        line = line_of(step, given, named)
        if line is not None:
            Coverage.note(line)
        return step

    setattr(module, name, watched)


def _said(step: Step) -> Any:
    return step.says[0].body if step.says else None


def _offer(step: Step, given: Any, named: Any) -> str:
    offered = given[1]
    if offered.answered is not None:
        return OFFER_LINES[0]
    if step.invitation is not None:
        return OFFER_LINES[5]
    body = _said(step)
    if not isinstance(body, bodies.Answer):
        return OFFER_LINES[1]
    if body.verdict is Verdict.SUPERSEDED:
        return OFFER_LINES[2]
    return OFFER_LINES[3] if body.reason == machine.LOOP else OFFER_LINES[4]


def _revoke(step: Step, given: Any, named: Any) -> str:
    if named["answered"] is not None:
        return REVOKE_LINES[0]
    return REVOKE_LINES[1] if step.ends_invitation else REVOKE_LINES[2]


def _answer(step: Step, given: Any, named: Any) -> str | None:
    chain = given[0]
    if not step.records:
        return ANSWER_LINES[0]
    return ANSWER_LINES[1] if named["epoch"] != chain.pending_epoch else None


def _stand_by(step: Step, given: Any, named: Any) -> str:
    if not step.records:
        return STAND_BY_LINES[2]
    return STAND_BY_LINES[0] if step.made else STAND_BY_LINES[1]


def _ruling(step: Step, given: Any, named: Any) -> str:
    chain, ruling = given[0], given[1]
    if ruling.invitation is not None:
        Coverage.note("Ruling: ends an older invitation")
    if ruling.body.target == chain.key.authority:
        return f"Ruling: target, TAKEN from {chain.holding.name}"
    if chain.is_caring:
        return f"Ruling: YIELDING from {chain.holding.name}"
    if chain.holding is Holding.RELEASED:
        return "Ruling: RELEASED(successor)"
    return "Ruling: NOT_HELD"


def _taken(step: Step, given: Any, named: Any) -> str:
    if given[0].holding is Holding.YIELDING and step.chain.holding is Holding.RELEASED:
        return "TAKEN: YIELDING to RELEASED"
    return "TAKEN: changes no holding"
