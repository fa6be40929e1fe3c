"""What the stories of custody share: a checked stage, a dispute, and forged rulings."""

from __future__ import annotations

from gateway.custody import bodies
from gateway.custody.model import ChainKey, Holding
from gateway.delivery.model import Outcome
from gateway.kernel.codes import RulingKind
from gateway.kernel.ids import NATION, AuthorityCode, Epoch, TicketNumber
from tests.simulation.checkers import Checkers
from tests.simulation.copies import START
from tests.simulation.stage import Stage
from tests.unit.custody.builders import UID

TIANJIN, HEBEI, SHANGHAI = "120000", "130000", "310000"
SHIJIAZHUANG, BAODING, LANGFANG = "130100", "130600", "131000"


def a_stage() -> Stage:
    """Return a faultless federation with the nation's arbiter; every round is checked."""
    stage = Stage()
    stage.at_rest = Checkers(stage).check
    return stage


async def disputed(stage: Stage, *, at: str = TIANJIN) -> TicketNumber:
    """Return a ticket of 天津 that 河北 declined twice: the second refusal files a case."""
    ticket = await stage.create(at)
    for _ in range(2):
        await stage.offer(at, ticket, HEBEI)
        await stage.settle()
        await stage.decline(HEBEI, ticket)
        await stage.settle()
    return ticket


def holds(stage: Stage, authority: str, ticket: str, epoch: Epoch, **where: object) -> None:
    """Check that an authority holds a chain at an epoch, and that all who took part agree."""
    chain = stage.chain(authority, ticket, **where)  # type: ignore[arg-type] # a scope or a number
    assert (chain.holding, chain.term_epoch) == (Holding.HELD, epoch)


async def refused(
    stage: Stage,
    body: bodies.Body,
    *,
    issuer: str,
    at: ChainKey,
    epoch: Epoch,
    reason: str = "STATEMENT_MALFORMED",
) -> None:
    """Hand in a forged statement and check that nothing came of it."""
    before = stage.snapshot()
    signed = stage.forge(issuer, body, at, epoch=epoch)
    receipt = await stage.hand_in(signed, source=issuer, target=at.authority)
    assert (receipt.outcome, receipt.reason) == (Outcome.REFUSED, reason)
    assert stage.snapshot() == before


def a_ruling(target: str, number: int = 1, *, previous: bytes = b"") -> bodies.Ruling:
    """Return a ruling as its arbiter would write it."""
    return bodies.Ruling(
        number=number,
        previous=previous,
        target=AuthorityCode(target),
        kind=RulingKind.REASSIGN,
        offers_allowed=False,
        mandates=(),
        legal_basis="forged",
        effective=START,
        last_record=b"",
        case="",
        ticket_uid=UID,
    )


def outer(authority: str, ticket: TicketNumber) -> ChainKey:
    """Return an authority's row of the chain among provinces."""
    return ChainKey(AuthorityCode(authority), ticket, NATION, 1)
