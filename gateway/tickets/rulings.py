"""The steps of a copy that a ruling brings: pure, each returns the new copy and its events.

A ruling is custody's; a copy obeys it in any state. The case on the copy ends with the ruling that
decides it. An overruled authority goes on caring until the target has the ticket, so its lead
assignment stands until then and only what it may no longer do is refused, by custody.
"""

from __future__ import annotations

from gateway.kernel.values import replace
from gateway.tickets.machine import begun_anew
from gateway.tickets.model import Act, Change, Ticket, TicketEvent


def close_case(ticket: Ticket, act: Act, *, case: str, ruling: int, target: str) -> Change:
    """Note that a ruling decided the case; the copy waits for it no longer."""
    changed = replace(ticket, case="") if ticket.case == case else ticket
    facts = (("case", case), ("ruling", str(ruling)), ("target", target))
    return _done(changed, act, "case.ruled", *facts)


def order_meanwhile(ticket: Ticket, act: Act, *, case: str, ruling: int, target: str) -> Change:
    """Note that an interim order names somebody; the ruling proper is still to come."""
    facts = (("case", case), ("ruling", str(ruling)), ("target", target))
    return _done(ticket, act, "case.ordered", *facts)


def overrule(ticket: Ticket, act: Act, *, ruling: int, target: str) -> Change:
    """Note that the ticket goes to another authority as soon as that one takes it."""
    return _done(ticket, act, "ticket.overruled", ("ruling", str(ruling)), ("target", target))


def take(ticket: Ticket, act: Act, *, ruling: int, source: str) -> Change:
    """Hold by a ruling what another held; what is not settled yet is to be dispatched again."""
    held, ended = begun_anew(ticket, act)
    change = _done(held, act, "ticket.taken", ("ruling", str(ruling)), ("source", source))
    return replace(change, events=(*change.events, *ended))


def _done(ticket: Ticket, act: Act, kind: str, *facts: tuple[str, str]) -> Change:
    changed = replace(ticket, revision=ticket.revision + 1, update_time=act.now)
    return Change(changed, (TicketEvent(kind, act, changed.state, facts),))
