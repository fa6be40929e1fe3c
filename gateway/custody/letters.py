"""Letters: acts of the citizen go to the custodian, questions to the citizen go to the origin.

One mechanism for both directions (docs/custody.md#letters). Each authority signs its own statement
for the next one on the way, in the chain that the two share, under the number that the letter got
where it began; the text is sealed anew for each hop. A province relays between its cities and the
other provinces. A letter moves no custody, is no row of the ledger, and changes no window or clock.

Nothing is remembered here: the rooms above keep a letter with their copy of the ticket, take each
number once, and post it again when the ticket has a new custodian. Checks of a sender (10): an act
comes only from the origin's side or an earlier custodian, a question only from the custodian's.
"""

from __future__ import annotations

from enum import Enum

from gateway.custody import bodies, chains, letter_codec
from gateway.custody.blocks import BlockOpener
from gateway.custody.machine import Say, Step
from gateway.custody.model import (
    Chain,
    ChainKey,
    CustodyEvent,
    Holding,
    Letter,
    LetterArrived,
    LetterKind,
)
from gateway.custody.writer import StepWriter
from gateway.database.uow import UnitOfWork
from gateway.delivery.model import Delivered
from gateway.kernel.errors import ResourceNotFound, StatementMalformed
from gateway.kernel.ids import GENESIS, AuthorityCode, Epoch, TicketNumber
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass

BLOCK = "letter_block"
LetterBody = bodies.CitizenAct | bodies.InformationRequest | bodies.InformationAnswer


class Standing(Enum):
    """What an authority may do about a citizen's act now."""

    ELSEWHERE = "elsewhere"  # another authority is the custodian
    CARING = "caring"  # acts of care only: an offer is out, or a ruling is on its way
    FREE = "free"  # everything


@dataclass(frozen=True, slots=True)
class Hop:
    """The next authority on the way, and the chain that is shared with it."""

    chain: Chain
    target: AuthorityCode


class Letters:
    """Posts and takes letters for the authorities of one node."""

    def __init__(self, *, writer: StepWriter, opener: BlockOpener) -> None:
        """Make it."""
        self._writer = writer
        self._opener = opener

    async def standing(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber
    ) -> Standing:
        """Tell what this authority may do about a citizen's act now."""
        return standing(await chains.load(uow, authority, ticket))

    async def post(
        self,
        uow: UnitOfWork,
        *,
        authority: AuthorityCode,
        ticket: TicketNumber,
        letter: Letter,
        now: Instant,
        source: AuthorityCode | None = None,
    ) -> AuthorityCode | None:
        """Send a letter on its next hop; return to whom, or None when it goes no further now.

        It goes no further when it is where it belongs, when the next authority is the one that it
        came from or that has it already, and when nobody can be reached. `source` is where it came
        from.
        """
        held = await chains.load(uow, authority, ticket)
        hop = next_hop(held, letter.kind)
        if hop is None or hop.target == source or not self._writer.can_reach(hop.target):
            return None
        content = self._writer.content(BLOCK, letter.block)
        body = _body(letter, content.commitment())
        epoch = hop.chain.term_epoch or hop.chain.shown_epoch or GENESIS
        say = Say(letter.kind.value, epoch, (hop.target,), body)
        step = Step(chain=hop.chain, says=(say,), records=False)
        await self._writer.write(uow, step, now=now, contents=(content,))
        return hop.target

    async def taken(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        delivered: Delivered,
        body: LetterBody,
        now: Instant,
    ) -> tuple[CustodyEvent, ...]:
        """Take a letter of the neighbour on the way.

        Raises:
            StatementMalformed: it comes from the wrong side (10).
            ResourceNotFound: it came before what makes its sender known; it will come again.
        """
        statement = delivered.statement
        held = await chains.load(uow, key.authority, key.ticket)
        chain = held.find(key)
        if chain is None:
            raise ResourceNotFound(kind="chain", name=f"{key.ticket} {key.scope}-{key.number}")
        kind = LetterKind(statement.kind)
        if kind is LetterKind.QUESTION:
            _check_question(held, chain, statement.issuer, statement.epoch, body)
        else:
            _check_from_origin(chain, statement.issuer)
        block = self._opener.open(
            delivered.block(BLOCK),
            key=key,
            epoch=statement.epoch,
            source=statement.issuer,
            kind=BLOCK,
            commitments=body.commitments,
        )
        step = Step(chain=chain, records=False)
        await self._writer.write(uow, step, now=now, received=delivered)
        return (LetterArrived(key, statement.issuer, _letter(kind, body, block)),)


def a_letter(
    kind: LetterKind,
    number: int,
    *,
    at: Instant,
    text: str,
    rating: bytes = b"",
    act: int = 0,
    asker: str = "",
    question: str = "",
    ask_time: Instant | None = None,
) -> Letter:
    """Return a letter with this text; `rating` is a serialised Rating of the standard.

    An answer also tells what was asked and when, for who did not get the question.
    """
    block = letter_codec.block_to_bytes(text, rating, question=question)
    return Letter(kind, number, at, block, act=act, asker=asker, ask_time=ask_time)


def contents_of(letter: Letter) -> tuple[str, bytes]:
    """Return the text of a letter and its serialised rating, or nothing."""
    return letter_codec.block_from_bytes(letter.block)


def question_of(letter: Letter) -> str:
    """Return what was asked, as an answer tells it; nothing of an older version."""
    return letter_codec.question_from_bytes(letter.block)


# --- the way ----------------------------------------------------------------------------------


def origin_of(ticket: TicketNumber) -> AuthorityCode:
    """Return the authority that received the message: its region begins the number."""
    return AuthorityCode(ticket[:4] + "00")


def standing(held: chains.TicketChains) -> Standing:
    """Tell what the authority of these chains may do about a citizen's act now."""
    inner, outer = held.open_inner, held.outer
    levels = [chain for chain in (inner, outer) if chain is not None]
    if inner is None or not all(chain.is_caring for chain in levels):
        return Standing.ELSEWHERE
    free = all(chain.holding is Holding.HELD for chain in levels)
    return Standing.FREE if free else Standing.CARING


def next_hop(held: chains.TicketChains, kind: LetterKind) -> Hop | None:
    """Return where a letter goes from here, or None if it goes nowhere now."""
    if kind is LetterKind.QUESTION:
        return _towards_origin(held)
    hop = _towards_custodian(held)
    # Whoever lies between here and the origin has it already: it came that way.
    return None if hop is None or hop.target in _upstream(held.authority, held.ticket) else hop


def _towards_origin(held: chains.TicketChains) -> Hop | None:
    me, origin = held.authority, origin_of(held.ticket)
    inner, home = held.inner, chains.province_of(origin)
    if me == origin:
        return None
    if not chains.is_province(me):
        return Hop(inner, inner.key.scope) if inner is not None else None
    if me == home:
        first = [chain for chain in held.chains if not chain.key.is_outer and chain.key.number == 1]
        return Hop(first[0], origin) if first else None
    return Hop(held.outer, home) if held.outer is not None else None


def _towards_custodian(held: chains.TicketChains) -> Hop | None:
    if standing(held) is not Standing.ELSEWHERE:
        return None
    me, inner, outer = held.authority, held.inner, held.outer
    if chains.is_province(me):
        if outer is not None and not outer.is_caring:
            return _hop(outer, chains.province_of(outer.custodian or me), me)
        return _hop(inner, inner.custodian, me) if inner is not None else None
    if inner is None:
        return None
    successor = inner.custodian
    is_near = successor is not None and chains.is_in_scope(successor, inner.key.scope)
    if is_near and inner.term_epoch is not None and not inner.closed:
        return _hop(inner, successor, me)  # this city let go, and knows to whom
    return _hop(inner, inner.key.scope, me)


def _hop(chain: Chain, target: AuthorityCode | None, me: AuthorityCode) -> Hop | None:
    return None if target in (None, me) else Hop(chain, AuthorityCode(str(target)))


def _upstream(me: AuthorityCode, ticket: TicketNumber) -> frozenset[AuthorityCode]:
    """Return the authorities through which a letter of the origin came here."""
    origin = origin_of(ticket)
    if me == origin:
        return frozenset()
    home = chains.province_of(origin)
    between = (home,) if me != home else ()
    above = (chains.province_of(me),) if not chains.is_province(me) else ()
    return frozenset((origin, *between, *above))


# --- checks (10) ------------------------------------------------------------------------------


def _check_from_origin(chain: Chain, source: AuthorityCode) -> None:
    """Return if an act or an answer comes from the origin's side or an earlier custodian."""
    key = chain.key
    is_origin = key.authority == origin_of(key.ticket)
    is_ruled = chain.is_caring and chain.ruling > 0 and source in chain.parties
    is_known = source in _upstream(key.authority, key.ticket) or source in chain.path
    if is_origin or not (is_known or is_ruled):
        raise StatementMalformed(
            check=10,
            got=f"a letter of {source} at {key.authority}",
            expected="one from the origin's side of the chain",
        )


def _check_question(
    held: chains.TicketChains,
    chain: Chain,
    source: AuthorityCode,
    epoch: Epoch,
    body: LetterBody,
) -> None:
    """Return if a question comes from the custodian's side.

    Raises:
        StatementMalformed: it does not.
        ResourceNotFound: its sender claims a later term than is known here.
    """
    key = chain.key
    if key.is_outer:
        is_way = key.authority == chains.province_of(origin_of(key.ticket))
    elif key.is_home:
        is_way = True
    else:
        is_way = key.authority == origin_of(key.ticket) and source == key.scope
    asker = "" if isinstance(body, bodies.CitizenAct) else body.asker
    # Inside, a city asks for itself; a province speaks for its cities, and relays for others.
    speaks = asker == source or chains.is_province(source)
    if key.is_outer:
        speaks = speaks and chains.province_of(asker) == source
    custodian = chain.custodian or key.authority
    side = {custodian, chains.province_of(custodian)} if key.is_outer else {custodian, key.scope}
    if is_way and speaks and (source in side or source in chain.parties):
        return
    known = max((item for item in (chain.floor, chain.shown_epoch) if item), default=GENESIS)
    if is_way and speaks and epoch > known:
        raise ResourceNotFound(kind="term", name=f"{held.ticket} {key.scope} {epoch}")
    raise StatementMalformed(
        check=10,
        got=f"a question of {source} at {key.authority}",
        expected="one from the custodian's side of the chain",
    )


# --- bodies -----------------------------------------------------------------------------------


def _body(letter: Letter, promise: bodies.Commitment) -> LetterBody:
    match letter.kind:
        case LetterKind.ACT:
            return bodies.CitizenAct(letter.number, letter.act, letter.at, (promise,))
        case LetterKind.QUESTION:
            asker = AuthorityCode(letter.asker)
            return bodies.InformationRequest(letter.number, asker, letter.at, (promise,))
        case LetterKind.ANSWER:
            asker = AuthorityCode(letter.asker)
            return bodies.InformationAnswer(
                letter.number, asker, letter.at, (promise,), letter.ask_time
            )


def _letter(kind: LetterKind, body: LetterBody, block: bytes) -> Letter:
    match body:
        case bodies.CitizenAct():
            return Letter(kind, body.number, body.act_time, block, act=body.act)
        case bodies.InformationRequest():
            return Letter(kind, body.number, body.ask_time, block, asker=body.asker)
        case bodies.InformationAnswer():
            return Letter(
                kind, body.number, body.answer_time, block, asker=body.asker, ask_time=body.ask_time
            )
