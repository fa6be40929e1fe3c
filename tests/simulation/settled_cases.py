"""What must hold of disputes when all has healed and every deadline is over: D1, D4, D6.

No case waits, each has an end with a name, and every party has the arbiter's bytes. Excused is what
a restore cost and nothing changed since: a restored party has its copy again with the next change
of the case, and what a restored arbiter forgot it tells again with the next change, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.arbitration import copies as case_copies
from gateway.arbitration import rows, store
from gateway.arbitration.exchange_codec import case_file_of, file_to_bytes
from gateway.custody import store as custody
from gateway.delivery.codec import statement_from_bytes
from gateway.kernel.codes import CaseState
from gateway.kernel.ids import NATION
from tests.simulation.records import Violation

if TYPE_CHECKING:
    from gateway.arbitration.model import Case
    from tests.simulation.node import Node
    from tests.simulation.world import World

WAITING = (CaseState.FILED, CaseState.REVIEW, CaseState.CONFERENCE, CaseState.OBJECTED)


def check(world: World) -> None:
    """Raise a Violation if a dispute did not end, or is not the same everywhere."""
    for node in world.nodes.values():
        for row in node.database.rows(store.CASES):
            case = case_at(node, row)
            _has_ended(node, case)
            _is_known_alike(world, node, case)
        if world.has_panels:  # without one, who plays rules by hand
            _every_filing_has_its_case(world, node)


def case_at(node: Node, row: store.CaseRow) -> Case:
    """Return a case as its arbiter has it, without words."""
    key = (row.scope, row.case_id)
    tables = node.database.tables
    ruled = [
        item
        for item in tables.get(store.RULINGS.name, {}).values()
        if (item.scope, item.case_id) == key
    ]
    said = [
        item
        for item in tables.get(store.ENTRIES.name, {}).values()
        if (item.scope, item.case_id) == key
    ]
    ruled.sort(key=lambda item: item.number)
    said.sort(key=lambda item: item.number)
    return rows.case_of(
        row, tuple(rows.ruling_of(item) for item in ruled), [rows.entry_of(item) for item in said]
    )


def _has_ended(node: Node, case: Case) -> None:
    if case.state in WAITING:
        raise Violation("D1", f"{case.key.case}: still {case.state.name} when all was over")
    chains = node.database.of_ticket(custody.CHAINS, case.ticket).values()
    is_closed = any(
        row.closed and (row.scope, row.number) == (case.key.scope, case.chain) for row in chains
    )
    if case.state is CaseState.RULED and not is_closed:
        raise Violation("D1", f"{case.key.case}: ruled, and nobody took the ticket")
    if case.state is CaseState.CLOSED and not case.rulings:
        raise Violation("D1", f"{case.key.case}: closed by nobody")


def _is_known_alike(world: World, node: Node, case: Case) -> None:
    """D4: each party on another node has the arbiter's bytes, of the newest revision."""
    content, scope = file_to_bytes(case), case.key.scope
    for party in case.audience:
        home = world.node_of(party)
        if home is node or party in (scope, NATION):
            continue
        key = (party, scope, case.key.case)
        if world.excused_copies.get(key, -1) >= case.revision:
            continue
        copy = home.database.tables.get(case_copies.COPIES.name, {}).get(key)
        if copy is None:
            raise Violation("D4", f"{case.key.case}: {party} was not told")
        kept, _ = case_file_of(statement_from_bytes(copy.statement).body)
        if kept != content:
            text = f"{party} has revision {copy.revision}, the arbiter {case.revision}"
            raise Violation("D4", f"{case.key.case}: {text}")


def _every_filing_has_its_case(world: World, node: Node) -> None:
    """D1: what was filed at an arbiter opened a case of its chain, or joined it."""
    places = {(row.scope, row.ticket, row.chain) for row in node.database.rows(store.CASES)}
    for row in node.database.rows(custody.STATEMENTS):
        if row.kind != "CaseFiling" or row.authority != row.scope or row.digest in world.forged:
            continue
        if (row.scope, row.ticket, row.number) not in places:
            raise Violation("D1", f"{row.ticket}: a filing of {row.issuer} opened no case")
