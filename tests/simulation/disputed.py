"""The safety of disputes, D1–D10: judged from the rows that a commit changed, outside the product.

D1   a case waits for a clock, always: its deadline and its stage have a timer, a ruling that could
     not be given in time is tried again; a ruling has a name
D2   deadlines are those of practice, counted here by hand; when an arbiter's clocks have rung,
     nothing at it is late
D3   while a dispute lasts somebody of its scope is responsible, and cares for the ticket
D4   a copy is what the arbiter signed, and of one revision there is one set of bytes
D5   a case moves along its table only, from FILED on; one that ended by consent before its filing
     came, or whose chain was closed, is withdrawn in the same commit (docs/custody.md#rulings), one
     that a restore forgot has the rulings that custody kept of it; no words come out of turn,
     twice, late, or in the name of somebody else; nothing that somebody hostile said changes a case
D6   a chain has one open case
D7   only the arbiter of the scope rules, and what it ruled custody numbered
D8   an objection changes its case, and nothing else
D9   time is the arbiter's: no window begins later or lasts longer than its clock says
D10  a precedent decides cases with its own key only

What holds at the end (D1, D4, D6) is in `settled_cases.py`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from itertools import groupby
from typing import TYPE_CHECKING

from gateway.arbitration import copies as case_copies
from gateway.arbitration import store
from gateway.arbitration.exchange_codec import case_file_of
from gateway.arbitration.precedents import store as precedent_store
from gateway.arbitration.watching import AGAIN_TIMER
from gateway.custody import bodies, codec
from gateway.custody import store as custody
from gateway.custody.model import BY_CONSENT, CARING
from gateway.database.timers import TIMERS
from gateway.delivery.codec import statement_from_bytes
from gateway.kernel.codes import CaseEntryKind, CaseState, RulingKind, Urgency
from gateway.kernel.errors import LubiaoError
from gateway.kernel.time import SHANGHAI
from gateway.trust.statements import verify
from tests.simulation.records import Violation

if TYPE_CHECKING:
    from gateway.kernel.time import Instant
    from tests.simulation.node import Node
    from tests.simulation.world import Change, World

_S = CaseState
OPEN = frozenset({_S.FILED, _S.REVIEW, _S.CONFERENCE})
LIVE = OPEN | {_S.RULED, _S.OBJECTED}
MOVES = {
    _S.FILED: {_S.REVIEW, _S.CONFERENCE, _S.RULED, _S.WITHDRAWN},
    _S.REVIEW: {_S.CONFERENCE, _S.RULED, _S.WITHDRAWN},
    _S.CONFERENCE: {_S.RULED, _S.WITHDRAWN},
    _S.RULED: {_S.CLOSED, _S.OBJECTED},
    _S.OBJECTED: {_S.RULED, _S.CLOSED},
    _S.CLOSED: {_S.OBJECTED},
    _S.WITHDRAWN: set[CaseState](),
}
"""The way of a case as practice has it; the product's own table is not asked."""
UNKNOWN = "unknown"  # whose area a place lies in that nobody told
MOMENT = timedelta(minutes=1)  # between reading a clock and a commit on a slow disk
CLOSING = time(17, 30)
RULING_DAYS, OBJECTION_DAYS = 3, 1
ORDER_WITHIN, URGENT_ANSWER_WITHIN = timedelta(hours=2), timedelta(hours=24)
SATURDAY = 5
CARING_NAMES = frozenset(holding.value for holding in CARING)
CaseKey = tuple[str, str]


ORDER = (store.ENTRIES.name, store.RULINGS.name, store.CASES.name, case_copies.COPIES.name)
"""Of one commit: what was said and ruled is held against the case as it was before."""


def _order(change: Change) -> tuple[int, int]:
    return change.commit, ORDER.index(change.table) if change.table in ORDER else len(ORDER)


def closing_after(start: Instant, days: int) -> Instant:
    """Return when business closes on the nth working day after a start, counted on fingers."""
    day: date = start.astimezone(SHANGHAI).date()
    while days:
        day += timedelta(days=1)
        days -= day.weekday() < SATURDAY
    return datetime.combine(day, CLOSING, SHANGHAI)


class CaseChecks:
    """Holds disputes against the properties; remembers how each case was."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._before: dict[CaseKey, store.CaseRow] = {}
        self._files: dict[tuple[str, str, int], bytes] = {}
        self._copies: dict[tuple[object, ...], int] = {}
        self._said: dict[CaseKey, list[store.EntryRow]] = defaultdict(list)
        self._read_all()

    def check(self) -> None:
        """Check what was committed since the last time."""
        if self._world.case_changes:
            changes = sorted(self._world.case_changes, key=_order)
            self._world.case_changes.clear()
            for _, commit in groupby(changes, key=lambda change: change.commit):
                together = list(commit)
                for change in together:
                    self._one(change, together)
        self._world.custody_commits.clear()

    def restored(self) -> None:
        """Begin anew after a restore: what only the lost disk knew is forgotten."""
        self._world.case_changes.clear()
        self._world.custody_commits.clear()
        self._before.clear()
        self._files.clear()
        self._copies.clear()
        self._said.clear()
        self._read_all()

    def rang(self, node: Node, now: Instant) -> None:
        """D2: when the clocks of a node have rung at `now`, no ruling and no stage is late.

        Excused is a ruling that cannot be given just then and is tried again: its ticket is on the
        way out, or its chain is not known yet. That it comes is looked at in the end.
        """
        timers = node.database.tables.get(TIMERS.name, {})
        for row in node.database.rows(store.CASES):
            if (AGAIN_TIMER, f"{row.ticket}/{row.scope}/{row.case_id}") in timers:
                continue
            for name, due in (("ruling", row.due), ("stage", row.stage_due)):
                if due is not None and due <= now:
                    text = f"{row.case_id}: its {name} was due at {due:%d %H:%M}, it is {now}"
                    raise Violation("D2", text)

    def _read_all(self) -> None:
        for node in self._world.nodes.values():
            for row in node.database.rows(store.CASES):
                self._before[row.scope, row.case_id] = row
            for entry in node.database.rows(store.ENTRIES):
                self._said[entry.scope, entry.case_id].append(entry)

    def _one(self, change: Change, together: list[Change]) -> None:
        row = change.row
        if isinstance(row, store.CaseRow):
            is_ruled = any(each.table == store.RULINGS.name for each in together)
            self._case(change, row, is_ruled=is_ruled)
        elif isinstance(row, store.EntryRow):
            self._entry(change, row, together)
        elif isinstance(row, store.RulingRow):
            self._ruling(change, row)
        elif isinstance(row, case_copies.CopyRow):
            self._copy(row)

    # --- a case -------------------------------------------------------------------------------

    def _case(self, change: Change, row: store.CaseRow, *, is_ruled: bool) -> None:
        node, key = change.node, (row.scope, row.case_id)
        before = self._before.get(key)
        now = node.clock.now()
        if before is not None and replace(row, told=before.told) == before:
            self._before[key] = row  # the alarm rang, and nothing of the case changed
            return
        if before is None:
            if not now - MOMENT <= row.filed <= now:
                raise Violation("D9", f"{row.case_id}: filed at {row.filed}, it is {now}")
            found = (_ended_before_it_came, _ruled_before_it_came, _closed_before_it_came)
            if not (_S(row.state) is _S.FILED or any(is_over(node, row) for is_over in found)):
                raise Violation("D5", f"{row.case_id}: begins {_S(row.state).name}")
        else:
            self._moved(before, row, is_ruled=is_ruled)
        self._is_timed(node, row, now, before)
        if _S(row.state) in LIVE:
            self._is_cared_for(row)
        if _S(row.state) in OPEN:
            self._is_the_only_one(node, row)
        self._before[key] = row

    def _moved(self, before: store.CaseRow, row: store.CaseRow, *, is_ruled: bool) -> None:
        was, state = _S(before.state), _S(row.state)
        may = MOVES[was] | (MOVES[_S.RULED] if is_ruled else set())  # taken in the same commit
        if state is not was and state not in may:
            raise Violation("D5", f"{row.case_id}: {was.name} became {state.name}")
        if row.revision <= before.revision and row != before:
            raise Violation("D4", f"{row.case_id}: revision {row.revision} was used before")
        fixed = [(item.filed, item.ticket, item.chain, item.urgency) for item in (before, row)]
        if fixed[0] != fixed[1]:
            raise Violation("D9", f"{row.case_id}: {fixed[0]} became {fixed[1]}")
        is_longer = before.stage_due and row.stage_due and row.stage_due > before.stage_due
        if state is was and is_longer:
            raise Violation("D9", f"{row.case_id}: {state.name} lasts longer than it did")

    def _is_timed(
        self, node: Node, row: store.CaseRow, now: Instant, before: store.CaseRow | None
    ) -> None:
        """D1, D2, D9: clocks are set, and no later than practice has it.

        An objection's stage is judged when it begins: a clock that was stepped back since is not a
        window that grew, and one that does grow is seen by `_moved`.
        """
        state, urgency = _S(row.state), Urgency(row.urgency)
        is_urgent = urgency in (Urgency.EMERGENCY, Urgency.URGENT)
        last = closing_after(row.filed, RULING_DAYS)
        allowed = {last, row.filed + ORDER_WITHIN} if is_urgent else {last}
        if state in OPEN and (row.due is None or row.due not in allowed):
            raise Violation("D2", f"{row.case_id}: due {row.due}, filed {row.filed}")
        if state is _S.FILED and row.stage_due is None:
            raise Violation("D1", f"{row.case_id}: nothing ends its stage {state.name}")
        is_new = before is None or before.stage_due != row.stage_due
        if state is _S.OBJECTED:
            wait = now + URGENT_ANSWER_WITHIN if is_urgent else closing_after(now, OBJECTION_DAYS)
            last = wait + MOMENT
        is_judged = is_new or state is not _S.OBJECTED
        if is_judged and row.stage_due is not None and row.stage_due > last:
            raise Violation("D9", f"{row.case_id}: {state.name} lasts until {row.stage_due}")
        timers = node.database.tables.get(TIMERS.name, {})
        key = f"{row.ticket}/{row.scope}/{row.case_id}"
        for kind, due in (("due", row.due), ("stage", row.stage_due)):
            timer = timers.get((f"arbitration.{kind}", key))
            # A ruling that was due and could not be given has a clock that tries again.
            is_tried = kind == "due" and due is not None and due <= now
            if is_tried and ("arbitration.again", key) in timers:
                continue
            if due is not None and (timer is None or timer.due != due):
                raise Violation("D1", f"{row.case_id}: no clock rings at {due} ({kind})")

    def _is_cared_for(self, row: store.CaseRow) -> None:
        """D3: somebody of the scope is responsible, and somebody cares for the ticket."""
        is_inside = row.scope == "100000" or row.responsible[:2] == row.scope[:2]
        if not is_inside or row.responsible in ("", "100000"):
            raise Violation("D3", f"{row.case_id}: {row.responsible!r} is responsible")
        rows = [
            chain
            for node in self._world.nodes.values()
            for chain in node.database.of_ticket(custody.CHAINS, row.ticket).values()
            if (chain.scope, chain.number) == (row.scope, row.chain)
        ]
        is_open = not any(chain.closed for chain in rows)
        if is_open and not any(chain.holding in CARING_NAMES for chain in rows):
            raise Violation("D3", f"{row.case_id}: nobody cares for the ticket")

    def _is_the_only_one(self, node: Node, row: store.CaseRow) -> None:
        place = (row.scope, row.ticket, row.chain)
        for other in node.database.rows(store.CASES):
            is_same = (other.scope, other.ticket, other.chain) == place
            if is_same and other.case_id != row.case_id and _S(other.state) in OPEN:
                raise Violation("D6", f"{row.case_id} and {other.case_id} are both open")

    # --- words --------------------------------------------------------------------------------

    def _entry(self, change: Change, row: store.EntryRow, together: list[Change]) -> None:
        key, now = (row.scope, row.case_id), change.node.clock.now()
        if not now - MOMENT <= row.said <= now:
            raise Violation("D9", f"{row.case_id}: said at {row.said}, it is {now}")
        if not row.author.startswith(f"lubiao://{row.party}/staff/"):
            raise Violation("D5", f"{row.case_id}: {row.author} speaks for {row.party}")
        kind, case = CaseEntryKind(row.kind), self._before.get(key)
        if case is None:
            raise Violation("D5", f"{row.case_id}: words in no case")
        was = _S(case.state)
        may = {
            CaseEntryKind.POSITION: was in OPEN,
            CaseEntryKind.MINUTES: was is _S.CONFERENCE,
            CaseEntryKind.OBJECTION: was in (_S.RULED, _S.CLOSED),
            CaseEntryKind.ANSWER: was is _S.OBJECTED,
        }
        if not may[kind]:
            raise Violation("D5", f"{row.case_id}: {kind.name} in {was.name}")
        if kind in (CaseEntryKind.MINUTES, CaseEntryKind.ANSWER):
            if row.party != row.scope:
                raise Violation("D5", f"{row.case_id}: {kind.name} of {row.party}")
        elif row.party not in case.parties:
            raise Violation("D5", f"{row.case_id}: {row.party} is no party")
        if kind is CaseEntryKind.OBJECTION:
            after = next(item.row for item in together if item.table == store.CASES.name)
            self._objection(change, row, case, after)
        self._said[key].append(row)

    def _objection(
        self, change: Change, row: store.EntryRow, case: store.CaseRow, after: object | None
    ) -> None:
        """D5: one objection, in time. D8: it suspends nothing."""
        kinds = [item.kind for item in self._said[row.scope, row.case_id]]
        if int(CaseEntryKind.OBJECTION) in kinds:
            raise Violation("D5", f"{row.case_id}: a second objection")
        proper = [
            ruling
            for ruling in change.node.database.rows(store.RULINGS)
            if (ruling.scope, ruling.case_id) == (row.scope, row.case_id)
            and ruling.kind != RulingKind.INTERIM
        ]
        newest = max(proper, key=lambda ruling: ruling.number, default=None)
        if newest is None:
            raise Violation("D5", f"{row.case_id}: an objection to nothing")
        if row.said > closing_after(newest.issued, OBJECTION_DAYS):
            raise Violation("D9", f"{row.case_id}: an objection at {row.said}, too late")
        if change.commit in self._world.custody_commits:
            raise Violation("D8", f"{row.case_id}: an objection changed what custody keeps")
        moves = ("state", "revision", "stage_due", "stage_due_provisional", "closed", "parties")
        now = replace(case, **{name: getattr(after, name) for name in moves})
        if now != after:
            raise Violation("D8", f"{row.case_id}: an objection changed {case} to {after}")

    # --- rulings ------------------------------------------------------------------------------

    def _ruling(self, change: Change, row: store.RulingRow) -> None:
        case = self._before.get((row.scope, row.case_id)) or change.node.database.tables[
            store.CASES.name
        ].get((row.scope, row.case_id))
        if case is None:
            raise Violation("D7", f"{row.case_id}: a ruling in no case")
        if not row.ruler.startswith(f"lubiao://{row.scope}/"):
            raise Violation("D7", f"{row.case_id}: {row.ruler} ruled")
        place = (row.scope, case.ticket, case.chain, row.number)
        signed = change.node.database.tables[custody.RULINGS.name].get(place)
        if signed is None or (signed.target, signed.case_id) != (row.target, row.case_id):
            raise Violation("D7", f"{row.case_id}: ruling {row.number} is not custody's {signed}")
        kind, is_panel = RulingKind(row.kind), "/staff/" in row.ruler
        is_clock = row.ruler.endswith("/system/arbitration")
        by_clock = (RulingKind.DEFAULT, RulingKind.INTERIM)
        if (is_panel and kind is RulingKind.DEFAULT) or (is_clock and kind not in by_clock):
            raise Violation("D7", f"{row.case_id}: {row.ruler} gave {kind.name}")
        if row.ruler.endswith("/system/precedent"):
            self._by_precedent(change.node, row, case)

    def _by_precedent(self, node: Node, row: store.RulingRow, case: store.CaseRow) -> None:
        """D10: a precedent of the scope has the case's matter, type and levels of parties."""
        if row.taken is not None:
            return  # the row is written again when it was taken
        parties = {*case.filers, *case.path, *case.proposed_targets}
        levels = ",".join(sorted("province" if p.endswith("0000") else "city" for p in parties))
        own = (row.scope, case.matter, case.type, levels, not case.region)
        found = [
            (known.scope, known.matter, known.type, known.levels, known.relation == UNKNOWN)
            for known in node.database.rows(precedent_store.PRECEDENTS)
        ]
        if own not in found:
            raise Violation("D10", f"{row.case_id}: {own} was decided by one of {found}")

    # --- copies -------------------------------------------------------------------------------

    def _copy(self, row: case_copies.CopyRow) -> None:
        """D4, D7: a copy is the arbiter's, rises, and is the same for everybody."""
        statement = statement_from_bytes(row.statement)
        if statement.issuer != row.scope or row.authority not in statement.audience:
            raise Violation("D7", f"{row.case_id}: {row.authority} keeps a file of someone else")
        public = self._world.roster.statement_key(row.scope, row.key_id)
        try:
            if public is None:
                raise Violation("D7", f"{row.case_id}: nobody can verify it")
            verify(public, row.statement, row.signature, signer=row.scope)
        except LubiaoError as error:
            raise Violation("D7", f"{row.case_id}: {error}") from error
        key = (row.authority, row.scope, row.case_id)
        if row.revision <= self._copies.get(key, -1):
            raise Violation("D4", f"{row.case_id}: {row.authority} went back to {row.revision}")
        self._copies[key] = row.revision
        content, _ = case_file_of(statement.body)
        if self._files.setdefault((row.scope, row.case_id, row.revision), content) != content:
            raise Violation("D4", f"{row.case_id}: two files of revision {row.revision}")


def _ruled_before_it_came(node: Node, row: store.CaseRow) -> bool:
    """Tell whether a case has the rulings that custody has of it: a restore forgot the case."""
    place = (row.scope, row.chain, row.case_id)
    signed = [
        (ruling.number, ruling.target)
        for ruling in node.database.of_ticket(custody.RULINGS, row.ticket).values()
        if (ruling.scope, ruling.chain, ruling.case_id) == place
    ]
    known = [
        (ruling.number, ruling.target)
        for ruling in node.database.rows(store.RULINGS)
        if (ruling.scope, ruling.case_id) == (row.scope, row.case_id)
    ]
    is_decided = _S(row.state) in (_S.RULED, _S.CLOSED)
    return is_decided and bool(signed) and sorted(signed) == sorted(known)


def _closed_before_it_came(node: Node, row: store.CaseRow) -> bool:
    """Tell whether a case was withdrawn as it was filed: its chain was closed before."""
    place = (row.scope, row.scope, row.chain)
    is_closed = any(
        chain.closed
        for chain in node.database.of_ticket(custody.CHAINS, row.ticket).values()
        if (chain.authority, chain.scope, chain.number) == place
    )
    return _S(row.state) is _S.WITHDRAWN and is_closed


def _ended_before_it_came(node: Node, row: store.CaseRow) -> bool:
    """Tell whether a case was withdrawn as it was filed: it had ended by consent before."""
    said = [
        codec.body_from_bytes(kept.kind, statement_from_bytes(kept.statement).body)
        for kept in node.database.of_ticket(custody.STATEMENTS, row.ticket).values()
        if (kept.kind, kept.scope, kept.number) == ("CaseFiling", row.scope, row.chain)
    ]
    is_settled = any(
        isinstance(body, bodies.CaseFiling) and (body.cause, body.case) == (BY_CONSENT, row.case_id)
        for body in said
    )
    return _S(row.state) is _S.WITHDRAWN and is_settled
