"""Wiring of the tickets and dispatch rooms: one place for the composition root and for tests.

Custody needs the content of tickets, and dispatch needs custody; so the tickets side is built first
(`build_tickets`), then custody over its `blocks`, then dispatch over both (`build_dispatch`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.audit.service import AuditLog
from gateway.custody.service import CustodyService
from gateway.database.once import Once
from gateway.database.timers import TimerHandler
from gateway.database.uow import Database
from gateway.dispatch.acting import Acting
from gateway.dispatch.asking import Asking
from gateway.dispatch.attaching import Attaching
from gateway.dispatch.citizen import CitizenDesk
from gateway.dispatch.citizen_servicer import CitizenRoom
from gateway.dispatch.correspondence import Correspondence
from gateway.dispatch.destination_servicer import DestinationServicer
from gateway.dispatch.destinations import Destinations
from gateway.dispatch.disputes import Disputes
from gateway.dispatch.extending import Extending
from gateway.dispatch.fallbacks import Fallbacks
from gateway.dispatch.guarding import Guarding
from gateway.dispatch.handling import Handling
from gateway.dispatch.intake import Intake
from gateway.dispatch.numbers import NumberMint
from gateway.dispatch.ordered import Ordered
from gateway.dispatch.plans import FALLBACK_TIMER
from gateway.dispatch.reactions import Reactions
from gateway.dispatch.recomputing import RECOMPUTE_TIMER, Recompute
from gateway.dispatch.rendering import Render
from gateway.dispatch.requests import REQUEST_TIMER, Requests
from gateway.dispatch.returning import RETURN_TIMER, ReturnAlarm, Returning
from gateway.dispatch.returning_answers import ReturnAnswers
from gateway.dispatch.returning_moves import Succession
from gateway.dispatch.returning_servicer import UnitRoom
from gateway.dispatch.router import Router
from gateway.dispatch.servicer import TicketServicer
from gateway.dispatch.split_desk import SplitDesk
from gateway.dispatch.splitting import Splitting
from gateway.dispatch.unit_rulings import UnitRulings
from gateway.kernel.ids import Ids
from gateway.kernel.time import Clock
from gateway.kernel.values import dataclass
from gateway.privacy.vault import ContentVault
from gateway.publishing.ports import Rules
from gateway.reference.data import ReferenceData
from gateway.routing.failures import Failures
from gateway.routing.packs import PackSet
from gateway.tickets.attachments import Attachments
from gateway.tickets.blocks import TicketBlocks
from gateway.tickets.reader import TicketReader
from gateway.tickets.service import ChangeSignal, Tickets
from gateway.tickets.servicer import PrincipalOf, TicketReadServicer
from gateway.tickets.tokens import Tokens
from gateway.trust.key_ring import KeyRing


@dataclass(frozen=True, slots=True)
class TicketRoom:
    """The tickets side of one node; `blocks` is custody's ContentSource."""

    tickets: Tickets
    blocks: TicketBlocks
    signal: ChangeSignal
    token_key: bytes


@dataclass(frozen=True, slots=True)
class Board:
    """How destinations stand: run `destinations`, serve `servicer`."""

    destinations: Destinations
    servicer: DestinationServicer


@dataclass(frozen=True, slots=True)
class DispatchRoom:
    """The dispatch side: register `reactions.handlers()` with the inbox, serve `servicer`.

    Run `timers`, and let `recompute` start its walk when the node starts.
    """

    intake: Intake
    handling: Handling
    citizens: CitizenRoom
    units: UnitRoom
    acting: Acting
    reactions: Reactions
    reader: TicketReader
    servicer: TicketServicer
    attachments: Attachments
    attaching: Attaching
    recompute: Recompute
    failures: Failures
    board: Board
    disputes: Disputes
    unit_rulings: UnitRulings
    ordered: Ordered
    requests: Requests
    timers: Mapping[str, TimerHandler]


def build_tickets(*, keys: KeyRing, ids: Ids) -> TicketRoom:
    """Return the tickets side of one node."""
    vault = ContentVault(keys=keys, ids=ids)
    signal = ChangeSignal()
    tickets = Tickets(vault=vault, signal=signal)
    return TicketRoom(tickets, TicketBlocks(tickets), signal, vault.token_key())


def build_dispatch(
    *,
    room: TicketRoom,
    database: Database,
    custody: CustodyService,
    audit: AuditLog,
    ids: Ids,
    business_clock: Clock,
    reference: Callable[[], ReferenceData],
    packs: Callable[[], PackSet],
    hosted: Callable[[], frozenset[str]],
    joined: Callable[[], frozenset[str]],
    principal_of: PrincipalOf,
    rules: Rules | None = None,
) -> DispatchRoom:
    """Return the dispatch side of one node.

    `hosted` are the authorities that live here, `joined` all of the roster that can take an offer.
    Without `rules` the packs are those of `packs`, which nobody publishes.
    """
    tickets = room.tickets
    router = Router(reference=reference, packs=packs, hosted=hosted, joined=joined, rules=rules)
    attachments = Attachments(database=database, tickets=tickets, audit=audit, clock=business_clock)
    deciding = _deciding(
        tickets=tickets, custody=custody, router=router, attachments=attachments, audit=audit
    )
    acting, reactions = deciding.acting, deciding.reactions
    once = Once(database=database, clock=business_clock, key=room.token_key)
    render = Render(tickets=tickets, custody=custody)
    handed = _Handed(tickets, custody, router, audit, once, render)
    attaching = _attaching(handed, attachments, database=database, clock=business_clock)
    intake, handling = _intake(deciding, handed, ids=ids), _handling(deciding, handed)
    citizens = _citizens(deciding, tickets=tickets, custody=custody, handling=handling)
    units = _units(deciding, handed, handling=handling, principal_of=principal_of)
    recompute = Recompute(tickets=tickets, custody=custody, acting=acting, router=router)
    reader = _reader(room, database=database, custody=custody, audit=audit, clock=business_clock)
    reading = TicketReadServicer(reader=reader, principal_of=principal_of, clock=business_clock)
    servicer = TicketServicer(
        intake=intake,
        handling=handling,
        citizens=citizens,
        units=units,
        reading=reading,
        principal_of=principal_of,
        attaching=attaching,
    )
    return DispatchRoom(
        intake=intake,
        handling=handling,
        citizens=citizens,
        units=units,
        acting=acting,
        reactions=reactions,
        reader=reader,
        servicer=servicer,
        attachments=attachments,
        attaching=attaching,
        recompute=recompute,
        failures=router.failures,
        board=_board(handed, database=database, clock=business_clock, principal_of=principal_of),
        disputes=deciding.disputes,
        unit_rulings=_unit_rulings(deciding, handed, requests=units.requests),
        ordered=deciding.ordered,
        requests=units.requests,
        timers=_timers(deciding, units, recompute),
    )


def _timers(
    deciding: _Deciding, units: UnitRoom, recompute: Recompute
) -> Mapping[str, TimerHandler]:
    return {
        RETURN_TIMER: units.alarm,
        REQUEST_TIMER: units.requests,
        RECOMPUTE_TIMER: recompute,
        FALLBACK_TIMER: deciding.fallbacks,
    }


@dataclass(frozen=True, slots=True)
class _Deciding:
    """What decides and reacts, below the verbs of units, people and platforms."""

    mint: NumberMint
    splitting: Splitting
    acting: Acting
    correspondence: Correspondence
    reactions: Reactions
    fallbacks: Fallbacks
    disputes: Disputes
    guarding: Guarding
    ordered: Ordered


def _deciding(
    *,
    tickets: Tickets,
    custody: CustodyService,
    router: Router,
    attachments: Attachments,
    audit: AuditLog,
) -> _Deciding:
    mint = NumberMint()
    splitting = Splitting(tickets=tickets, custody=custody, router=router, mint=mint)
    acting = Acting(tickets=tickets, custody=custody, router=router, splitting=splitting)
    correspondence = Correspondence(
        tickets=tickets, custody=custody, acting=acting, splitting=splitting
    )
    fallbacks = Fallbacks(tickets=tickets, custody=custody, acting=acting, router=router)
    guarding = Guarding(tickets=tickets, router=router)
    ordered = Ordered(
        tickets=tickets,
        custody=custody,
        acting=acting,
        splitting=splitting,
        guarding=guarding,
        router=router,
    )
    reactions = Reactions(
        fallbacks=fallbacks,
        ordered=ordered,
        tickets=tickets,
        attachments=attachments,
        custody=custody,
        acting=acting,
        correspondence=correspondence,
        splitting=splitting,
        router=router,
        audit=audit,
    )
    disputes = Disputes(tickets=tickets, custody=custody, acting=acting)
    return _Deciding(
        mint, splitting, acting, correspondence, reactions, fallbacks, disputes, guarding, ordered
    )


def _citizens(
    deciding: _Deciding, *, tickets: Tickets, custody: CustodyService, handling: Handling
) -> CitizenRoom:
    correspondence = deciding.correspondence
    return CitizenRoom(
        desk=CitizenDesk(handling=handling, correspondence=correspondence),
        asking=Asking(
            tickets=tickets, custody=custody, handling=handling, correspondence=correspondence
        ),
        splitting=SplitDesk(
            tickets=tickets,
            handling=handling,
            acting=deciding.acting,
            splitting=deciding.splitting,
        ),
    )


def _reader(
    room: TicketRoom,
    *,
    database: Database,
    custody: CustodyService,
    audit: AuditLog,
    clock: Clock,
) -> TicketReader:
    return TicketReader(
        database=database,
        tickets=room.tickets,
        custody=custody.view,
        audit=audit,
        tokens=Tokens(room.token_key),
        clock=clock,
        signal=room.signal,
    )


@dataclass(frozen=True, slots=True)
class _Handed:
    """What every verb works with."""

    tickets: Tickets
    custody: CustodyService
    router: Router
    audit: AuditLog
    once: Once
    render: Render


def _attaching(
    handed: _Handed, attachments: Attachments, *, database: Database, clock: Clock
) -> Attaching:
    return Attaching(
        database=database,
        tickets=handed.tickets,
        attachments=attachments,
        custody=handed.custody,
        audit=handed.audit,
        once=handed.once,
        clock=clock,
    )


def _board(
    handed: _Handed, *, database: Database, clock: Clock, principal_of: PrincipalOf
) -> Board:
    router = handed.router
    destinations = Destinations(database=database, router=router, audit=handed.audit, clock=clock)
    router.states = destinations.states
    servicer = DestinationServicer(
        destinations=destinations, once=handed.once, principal_of=principal_of
    )
    return Board(destinations, servicer)


def _intake(deciding: _Deciding, handed: _Handed, *, ids: Ids) -> Intake:
    return Intake(
        tickets=handed.tickets,
        custody=handed.custody,
        acting=deciding.acting,
        router=handed.router,
        audit=handed.audit,
        once=handed.once,
        mint=deciding.mint,
        render=handed.render,
        ids=ids,
    )


def _handling(deciding: _Deciding, handed: _Handed) -> Handling:
    return Handling(
        tickets=handed.tickets,
        custody=handed.custody,
        acting=deciding.acting,
        splitting=deciding.splitting,
        ordered=deciding.ordered,
        guarding=deciding.guarding,
        audit=handed.audit,
        once=handed.once,
        render=handed.render,
    )


def _unit_rulings(deciding: _Deciding, handed: _Handed, *, requests: Requests) -> UnitRulings:
    return UnitRulings(
        tickets=handed.tickets,
        custody=handed.custody,
        acting=deciding.acting,
        disputes=deciding.disputes,
        check_unit=deciding.guarding.check_unit,
        asking=requests,
    )


def _units(
    deciding: _Deciding, handed: _Handed, *, handling: Handling, principal_of: PrincipalOf
) -> UnitRoom:
    tickets, router, acting = handed.tickets, handed.router, deciding.acting
    requests = Requests(
        tickets=tickets,
        custody=handed.custody,
        acting=acting,
        handling=handling,
        guarding=deciding.guarding,
        router=router,
        disputes=deciding.disputes,
        audit=handed.audit,
        once=handed.once,
    )
    succession = Succession(
        tickets=tickets,
        guarding=deciding.guarding,
        acting=acting,
        router=router,
        requests=requests,
        disputes=deciding.disputes,
    )
    return UnitRoom(
        returning=Returning(
            tickets=tickets,
            handling=handling,
            acting=acting,
            router=router,
            succession=succession,
            audit=handed.audit,
            once=handed.once,
        ),
        extending=Extending(tickets=tickets, handling=handling, acting=acting, router=router),
        answers=ReturnAnswers(
            tickets=tickets,
            handling=handling,
            acting=acting,
            router=router,
            succession=succession,
        ),
        requests=requests,
        alarm=ReturnAlarm(
            tickets=tickets,
            acting=acting,
            router=router,
            succession=succession,
            audit=handed.audit,
        ),
        principal_of=principal_of,
    )
