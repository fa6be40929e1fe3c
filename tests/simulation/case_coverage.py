"""What happened to disputes: cells of a case's table, taken or refused, and faults in each stage.

The table of `gateway/arbitration/states.py` is watched where the room looks it up. A cell that the
table has counts when the unit that took it has committed; one that it does not have counts when it
was asked for and refused. A fault counts for a stage when a case is in that stage at its arbiter,
and what breaks is its arbiter's node or a party's, or a way between two of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import TYPE_CHECKING, Any

from gateway.arbitration import machine, procedure, store
from gateway.arbitration.states import CASE, Step
from gateway.kernel.codes import CaseState

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.kernel.ids import NodeId
    from tests.simulation.world import World

STATES = tuple(state for state in CaseState if state is not CaseState.UNSPECIFIED)
STAGES = (
    CaseState.FILED,
    CaseState.REVIEW,
    CaseState.CONFERENCE,
    CaseState.RULED,
    CaseState.OBJECTED,
)
"""From filing to the end: in each of them everything may break."""

_NO_CLOCK = "no stage lasts there, so no clock rings (procedure.lapse)"
_NOT_RULED = "an objection needs a ruling, and that is looked at first (procedure.check_objection)"
_ONCE = "there was an objection before, and that is looked at first (procedure.check_objection)"
_UNITS = "only a unit's body declines, and disputes of units are not played"
_RARE = "met in few of some hundred seeds; the unit tests of the machine take it"
UNREACHABLE: dict[tuple[CaseState, Step], str] = {
    (CaseState.RULED, Step.LAPSE): _NO_CLOCK,
    (CaseState.CLOSED, Step.LAPSE): _NO_CLOCK,
    (CaseState.WITHDRAWN, Step.LAPSE): _NO_CLOCK,
    **{(state, Step.OBJECT): _NOT_RULED for state in (*STAGES[:3], CaseState.WITHDRAWN)},
    (CaseState.OBJECTED, Step.OBJECT): _ONCE,
    **{(state, Step.DECLINE): _UNITS for state in STATES},
    (CaseState.RULED, Step.VOID): _RARE,
    (CaseState.OBJECTED, Step.JOIN): _RARE,
    (CaseState.OBJECTED, Step.VOID): _RARE,
    (CaseState.CLOSED, Step.TAKE): _RARE,
    (CaseState.WITHDRAWN, Step.TAKE): _RARE,
}
"""Cells that a run need not meet, each with the reason."""


def name_of(state: CaseState, step: Step) -> str:
    """Return the name of a cell."""
    refused = "" if (state, step) in CASE else ": refused"
    return f"case {state.name}: {step.value}{refused}"


def cells() -> tuple[str, ...]:
    """Return every cell of a case's table: a transition, or a refusal."""
    return tuple(name_of(state, step) for state, step in product(STATES, Step))


def unreachable() -> dict[str, str]:
    """Return the cells that no run can meet, with the reason."""
    return {name_of(*cell): why for cell, why in UNREACHABLE.items()}


def stage_cells(kinds: Iterable[str]) -> tuple[str, ...]:
    """Return every pair of a stage and a kind of fault."""
    return tuple(f"stage {stage.name}: {kind}" for stage, kind in product(STAGES, kinds))


def struck(world: World, kind: str, nodes: tuple[NodeId, ...]) -> set[str]:
    """Return in which stages a fault at these nodes strikes."""
    found = set()
    for arbiter in world.nodes.values():
        for row in arbiter.database.rows(store.CASES):
            if CaseState(row.state) not in STAGES:
                continue
            cell = f"stage {CaseState(row.state).name}: {kind}"
            if cell not in found:
                involved = {arbiter.id, *(world.node_of(party).id for party in row.parties)}
                if involved.issuperset(nodes):
                    found.add(cell)
    return found


class WatchedCase(dict[Any, CaseState]):
    """The table of a case, which tells what is looked up in it."""

    def __init__(self, took: Callable[[str], None], refused: Callable[[str], None]) -> None:
        super().__init__(CASE)
        self._took = took
        self._refused = refused

    def get(self, key: Any, default: Any = None) -> Any:
        found = super().get(key, default)
        note = self._took if key in self else self._refused
        note(name_of(*key))
        return found

    def __getitem__(self, key: Any) -> CaseState:
        self._took(name_of(*key))
        return super().__getitem__(key)


def install(took: Callable[[str], None], refused: Callable[[str], None]) -> None:
    """Watch the table in the two modules that ask it."""
    for module in (machine, procedure):
        module.CASE = WatchedCase(took, refused)  # type: ignore[attr-defined] # for the run
