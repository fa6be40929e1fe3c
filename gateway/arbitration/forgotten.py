"""What a restored arbiter ruled and no longer knows: custody gets it back from its peers.

Rulings are statements, so peers return them (docs/custody.md#recovery); the case in which they were
given is a row that only the lost disk had. Before the clock rules in a case, before another filing
joins it, and when somebody takes a ticket by a ruling that no case has, the case is given the
rulings that custody knows of it, without their reasons; it ends if its chain is closed, or if a
newer ruling overtook its own. So no dispute is ruled twice because the first ruling was forgotten,
none waits for what is over, and a later dispute is no part of one that was ruled.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.arbitration import machine, procedure
from gateway.arbitration.case_codec import known_code
from gateway.arbitration.cases import Cases
from gateway.arbitration.model import DECIDED, OPEN, Case, CaseRuling, Filing, is_unit
from gateway.arbitration.states import CASE, Step
from gateway.arbitration.watching import watch
from gateway.custody import bodies, chains, codec, docket
from gateway.custody.model import ChainKey
from gateway.custody.store import RulingRow
from gateway.database.uow import UnitOfWork
from gateway.delivery.codec import statement_from_bytes
from gateway.kernel.codes import CaseLevel, CaseRulingForm, CaseState, RulingKind
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.kernel.time import Instant
from gateway.trust.principal import Principal


async def open_on(uow: UnitOfWork, cases: Cases, filing: Filing, *, now: Instant) -> Case | None:
    """Return the case of the filing's chain that waits for a ruling, also after a restore."""
    case = await cases.open_on(
        uow, scope=filing.key.scope, ticket=filing.ticket, chain=filing.chain
    )
    if case is None:
        return None
    known = await remember(uow, cases, case, now=now)
    if known is not case:
        watch(uow, known)
    return known if known.state in OPEN else None


async def catch_up(
    uow: UnitOfWork,
    cases: Cases,
    *,
    scope: AuthorityCode,
    ticket: TicketNumber,
    chain: int,
    now: Instant,
) -> None:
    """Let all cases of a chain know what custody does: a ruling was taken that none of them has."""
    for case in await cases.all_on(uow, scope=scope, ticket=ticket, chain=chain):
        known = await remember(uow, cases, case, now=now)
        if known is not case:
            watch(uow, known)


async def remember(uow: UnitOfWork, cases: Cases, case: Case, *, now: Instant) -> Case:
    """Return a case with what custody knows of it; the same one if it knew all of that."""
    if case.level is CaseLevel.UNITS or is_unit(case.responsible):
        return case
    key = ChainKey(case.key.scope, case.ticket, case.key.scope, case.chain)
    known = case
    said = {row.digest: row for row in await chains.of_kind(uow, key, "Ruling")}
    signed = await docket.rulings_of(uow, key)
    for row in signed:
        is_forgotten = row.case_id == case.key.case and known.find_ruling(row.number) is None
        if not is_forgotten or row.statement_digest not in said:
            continue
        statement = statement_from_bytes(said[row.statement_digest].statement)
        body = codec.body_from_bytes("Ruling", statement.body)
        kind = RulingKind(row.kind)
        after = _after(known.state, kind)
        if after is None or not isinstance(body, bodies.Ruling):
            continue
        ruling = ruling_of(body, scope=case.key.scope, issued=row.issued)
        due = known.due if after is known.state else None
        known = machine.rule(known, ruling, after=after, due=due)
        await cases.add_ruling(uow, known, ruling)
        if row.taken_digest:
            known = machine.take(known, number=row.number, now=now)
    known = procedure.settled(known, now=now)
    chain = await chains.find_chain(uow, key)
    if (chain is not None and chain.closed) or _is_overtaken(known, signed):
        known = machine.void(known, now=now)
    if known is not case:
        await cases.save(uow, known)
    return known


def _after(state: CaseState, kind: RulingKind) -> CaseState | None:
    """Return the state after a forgotten ruling; in a closed case its objection was forgotten."""
    if kind is RulingKind.INTERIM:
        return CASE.get((state, Step.INTERIM))
    return CASE.get((CASE.get((state, Step.OBJECT), state), Step.RULE))


def _is_overtaken(case: Case, signed: list[RulingRow]) -> bool:
    """Tell whether a newer ruling than the case's own, in a case since or in none, decided."""
    newest = max((row.number for row in signed), default=0)
    return case.state in DECIDED and case.rulings[-1].number < newest


def ruling_of(body: bodies.Ruling, *, scope: str, issued: Instant) -> CaseRuling:
    """Return the ruling of a case out of what its arbiter signed (the way back of `custodians.py`).

    A referral out of the scope is signed as HOME, with whom it goes to as its one part.
    """
    form = CaseRulingForm(known_code(CaseRulingForm, body.form))
    ruling = CaseRuling(
        number=body.number,
        kind=body.kind,
        target=body.target,
        legal_basis=body.legal_basis,
        offers_allowed=body.offers_allowed,
        mandates=body.mandates,
        ruler=Principal.system(scope, "restored").name,
        issued=issued,
        form=form,
        parts=body.parts,
        merge_into=body.merge_into,
    )
    if form is not CaseRulingForm.REFER_OUT or len(body.parts) != 1:
        return ruling
    target = body.parts[0].party
    return replace(ruling, kind=RulingKind.REASSIGN, target=target, offers_allowed=False, parts=())
