"""The access matrix: who may call what, and how long it may take. One table, nothing beside it.

The interceptor and the tests read this table; a test fails on an RPC of the protos without a row
and on a row without an RPC (docs/security.md#access). Rows of the database are a service's own
concern: a caller sees its authority ∩ platform ∩ unit, applied in the query. What this table
decides is, in this order:

    1  kind: which sort of principal may call at all
    2  scope: whether the caller belongs to an authority of this node, or is a node of the roster
    3  role: for staff, at least one of these; hired staff never judge dispatch (国办函〔2025〕66号)

A principal of kind `system` has no certificate and so has no row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from enum import Enum

from gateway.kernel.errors import PeerNotAllowed, RoleMissing
from gateway.kernel.values import dataclass
from gateway.trust.principal import Principal, PrincipalKind, Role
from gateway.trust.roster import NodeRole

PLATFORM, STAFF = PrincipalKind.PLATFORM, PrincipalKind.STAFF
NODE, AUDITOR = PrincipalKind.NODE, PrincipalKind.AUDITOR

TICKETS = "hotline.ticket.v1.TicketService"
CUSTODY = "hotline.custody.v1.CustodyService"
ROUTING = "hotline.routing.v1.RoutingService"
DESTINATIONS = "hotline.routing.v1.DestinationService"
ARBITRATION = "hotline.arbitration.v1.ArbitrationService"
AGGREGATES = "hotline.aggregate.v1alpha1.AggregateService"
HUB = "hotline.hub.v1alpha1.HubService"
OPERATION = "hotline.operation.v1alpha1.OperationService"
PEER = "hotline.peer.v1.PeerService"
FEDERATION = "hotline.federation.v1.FederationService"
HEALTH = "grpc.health.v1.Health"
REFLECTION = "grpc.reflection.v1alpha.ServerReflection"


class Scope(Enum):
    """To whom the caller must belong."""

    HOSTED = "an authority that this node hosts"
    FEDERATION = "a node of the roster"
    CERTIFIED = "anybody whose certificate this node accepts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """One row of the matrix."""

    kinds: frozenset[PrincipalKind]
    scope: Scope
    roles: frozenset[Role] = frozenset()  # of staff; empty: any role, but at least one
    allows_outsourced: bool = True
    deadline: timedelta  # when the caller names none; also the longest
    deadline_min: timedelta  # with less left the work is not begun
    is_validated: bool = True  # by the schema's limits; else each item is judged alone
    while_draining: bool = False
    request_bytes_max: int = 0  # of a request that may be larger than the node's bound


QUICK = timedelta(seconds=10)
LONG = timedelta(seconds=60)  # 500 tickets in a batch, each a transaction
TRANSFER = timedelta(minutes=10)  # 50 MiB over a county's line; the rest is resumed
STREAM = timedelta(hours=1)  # then the stream ends and the caller resumes; certificates change
AT_LEAST = timedelta(milliseconds=50)  # a commit on a slow disk
PACK_BYTES_MAX = 10 * 1024 * 1024 + 64 * 1024  # a pack of 10 MB, and what is signed about it

DESK = frozenset({Role.CLERK, Role.DISPATCHER, Role.SUPERVISOR})
JUDGES = frozenset({Role.DISPATCHER, Role.SUPERVISOR})
TAKERS = frozenset({Role.CLERK, Role.DISPATCHER})
ASSIGNERS = frozenset({Role.DISPATCHER})
WORKERS = frozenset({Role.HANDLER, Role.DISPATCHER})
READERS = DESK | WORKERS
RULES = frozenset({Role.RULE_EDITOR, Role.RULE_APPROVER})
RELEASERS = frozenset({Role.SUPERVISOR})  # a push speaks for the province and spends its budget
ANALYSTS = frozenset({Role.HUB_ANALYST})
PANEL = frozenset({Role.PANEL_MEMBER})
OPERATORS = frozenset({Role.SYSTEM_ADMINISTRATOR})  # and of the authority that runs the node
BASES = frozenset({PLATFORM, STAFF})


def _tickets(roles: frozenset[Role], *, deadline: timedelta = QUICK) -> Access:
    return Access(
        kinds=BASES, scope=Scope.HOSTED, roles=roles, deadline=deadline, deadline_min=AT_LEAST
    )


def _judging(roles: frozenset[Role] = JUDGES) -> Access:
    return Access(
        kinds=frozenset({STAFF}),
        scope=Scope.HOSTED,
        roles=roles,
        allows_outsourced=False,
        deadline=QUICK,
        deadline_min=AT_LEAST,
    )


def _reading(roles: frozenset[Role]) -> Access:
    return Access(
        kinds=frozenset({STAFF, AUDITOR}),
        scope=Scope.HOSTED,
        roles=roles,
        deadline=QUICK,
        deadline_min=AT_LEAST,
    )


def _drafting() -> Access:
    """Return the row of a request that carries a whole pack."""
    return Access(
        kinds=frozenset({STAFF}),
        scope=Scope.HOSTED,
        roles=frozenset({Role.RULE_EDITOR}),
        allows_outsourced=False,
        deadline=LONG,
        deadline_min=AT_LEAST,
        request_bytes_max=PACK_BYTES_MAX,
    )


def _certified(deadline: timedelta, *, while_draining: bool = False) -> Access:
    return Access(
        kinds=frozenset({PLATFORM, STAFF, NODE, AUDITOR}),
        scope=Scope.CERTIFIED,
        deadline=deadline,
        deadline_min=timedelta(0),
        while_draining=while_draining,
    )


MATRIX: Mapping[str, Access] = {
    # A message is judged once, by its servicer, whether it comes alone, in a batch or a stream.
    f"/{TICKETS}/CreateTicket": replace(_tickets(TAKERS), is_validated=False),
    f"/{TICKETS}/BatchCreateTickets": Access(
        kinds=BASES,
        scope=Scope.HOSTED,
        roles=TAKERS,
        deadline=LONG,
        deadline_min=timedelta(seconds=1),
        is_validated=False,
    ),
    f"/{TICKETS}/GetTicket": _tickets(READERS),
    f"/{TICKETS}/ListTickets": _tickets(READERS),
    f"/{TICKETS}/WatchTickets": _tickets(READERS, deadline=STREAM),
    f"/{TICKETS}/AcknowledgeTicket": replace(_tickets(frozenset()), kinds=frozenset({PLATFORM})),
    f"/{TICKETS}/AssignTicket": _judging(ASSIGNERS),
    f"/{TICKETS}/SignForTicket": _tickets(WORKERS),
    f"/{TICKETS}/RecordContact": _tickets(WORKERS),
    f"/{TICKETS}/ResolveTicket": _tickets(WORKERS | TAKERS),
    f"/{TICKETS}/RateTicket": _tickets(DESK),
    f"/{TICKETS}/CloseTicket": _tickets(DESK),
    f"/{TICKETS}/ListTicketEvents": _tickets(READERS),
    # The servicer judges it, so that an invalid return is recorded with what it lacks.
    f"/{TICKETS}/ReturnTicket": replace(_tickets(WORKERS), is_validated=False),
    f"/{TICKETS}/ReviewReturn": _judging(),
    f"/{TICKETS}/AnswerReturn": _judging(),
    f"/{TICKETS}/RespondToReturn": _tickets(WORKERS),
    f"/{TICKETS}/ClaimTicket": _tickets(WORKERS),
    f"/{TICKETS}/RequestUnit": _judging(),
    f"/{TICKETS}/AnswerUnitRequest": _tickets(WORKERS | JUDGES),
    f"/{TICKETS}/ExtendDeadline": _tickets(WORKERS),
    f"/{TICKETS}/ReviewExtension": _judging(),
    f"/{TICKETS}/RequestInformation": _tickets(WORKERS),
    f"/{TICKETS}/AnswerInformation": _tickets(TAKERS),
    f"/{TICKETS}/SupplementTicket": _tickets(TAKERS),
    f"/{TICKETS}/UrgeTicket": _tickets(DESK),
    f"/{TICKETS}/WithdrawTicket": _tickets(TAKERS),
    f"/{TICKETS}/ReopenTicket": _tickets(DESK),
    f"/{TICKETS}/SplitTicket": _tickets(WORKERS),
    f"/{TICKETS}/StreamCreateTickets": replace(
        _tickets(TAKERS, deadline=STREAM), is_validated=False
    ),
    f"/{TICKETS}/UploadAttachment": _tickets(TAKERS | WORKERS, deadline=TRANSFER),
    f"/{TICKETS}/DownloadAttachment": _tickets(READERS, deadline=TRANSFER),
    f"/{CUSTODY}/GetTransfer": _reading(READERS),
    f"/{CUSTODY}/ListTransfers": _reading(READERS),
    f"/{CUSTODY}/CreateTransfer": _judging(),
    f"/{CUSTODY}/AcceptTransfer": _judging(),
    f"/{CUSTODY}/DeclineTransfer": _judging(),
    f"/{CUSTODY}/StandBy": _judging(),
    f"/{CUSTODY}/AskAboutTransfer": _judging(),
    f"/{CUSTODY}/AnswerInquiry": _judging(),
    f"/{CUSTODY}/GetInquiry": _judging(),
    f"/{CUSTODY}/RevokeTransfer": _judging(),
    f"/{CUSTODY}/AssumeTicket": _judging(),
    f"/{CUSTODY}/FileCase": _judging(),
    f"/{CUSTODY}/ListCustodyRecords": _reading(READERS),
    f"/{CUSTODY}/ExportCustody": replace(_reading(JUDGES), deadline=TRANSFER),
    # The service shows handlers and platforms disputes of units only (arbitration/parties.py).
    f"/{ARBITRATION}/GetCase": _tickets(PANEL | JUDGES | WORKERS),
    f"/{ARBITRATION}/ListCases": _tickets(PANEL | JUDGES | WORKERS),
    f"/{ARBITRATION}/IssueRuling": _judging(PANEL),
    f"/{ARBITRATION}/TakeUpCase": _judging(PANEL),
    f"/{ARBITRATION}/ConveneCase": _judging(PANEL),
    f"/{ARBITRATION}/ListPrecedents": replace(_reading(PANEL), kinds=frozenset({STAFF})),
    f"/{ARBITRATION}/RevokePrecedent": _judging(PANEL),
    f"/{ARBITRATION}/ListProposals": replace(_reading(RULES | PANEL), kinds=frozenset({STAFF})),
    f"/{ARBITRATION}/GetProposal": replace(_reading(RULES | PANEL), kinds=frozenset({STAFF})),
    f"/{ARBITRATION}/AcceptProposal": replace(
        _judging(frozenset({Role.RULE_EDITOR})), deadline=LONG
    ),
    f"/{ARBITRATION}/DeclineProposal": _judging(RULES),
    # The service says who says what, and for whom.
    f"/{ARBITRATION}/CreateEntry": replace(_judging(PANEL | JUDGES | WORKERS), kinds=BASES),
    f"/{ARBITRATION}/OpenCase": replace(_judging(JUDGES | WORKERS), kinds=BASES),
    f"/{ARBITRATION}/GetCaseSight": replace(_judging(PANEL), deadline=LONG),  # it tries rules
    f"/{ARBITRATION}/GetDisputeFigures": replace(_judging(PANEL | RELEASERS), deadline=LONG),
    f"/{ARBITRATION}/WatchCases": replace(
        _reading(PANEL | JUDGES), kinds=frozenset({STAFF}), deadline=STREAM
    ),
    f"/{ARBITRATION}/ExportCase": replace(_reading(PANEL | JUDGES), deadline=TRANSFER),
    f"/{ROUTING}/GetRulePack": _reading(READERS | RULES),
    f"/{ROUTING}/ListRulePacks": _reading(READERS | RULES),
    f"/{ROUTING}/ExplainRoute": _reading(READERS | RULES),
    f"/{ROUTING}/CreateRulePack": _drafting(),
    f"/{ROUTING}/CheckRulePack": replace(_judging(RULES), deadline=LONG),
    f"/{ROUTING}/ApproveRulePack": _judging(frozenset({Role.RULE_APPROVER})),
    f"/{ROUTING}/PublishRulePack": replace(_judging(RULES), deadline=LONG),
    f"/{ROUTING}/RollbackRulePack": _judging(RULES),
    f"/{ROUTING}/RetireRulePack": _judging(RULES),
    f"/{ROUTING}/ImportRulePack": replace(
        _drafting(), roles=frozenset({Role.RULE_APPROVER}), allows_outsourced=False
    ),
    f"/{ROUTING}/ListRulePackVersions": _reading(READERS | RULES),
    f"/{ROUTING}/ReportMisroute": _judging(JUDGES | WORKERS),
    f"/{ROUTING}/ListMisroutes": _reading(JUDGES | WORKERS | RULES),
    f"/{ROUTING}/AnswerMisroute": _judging(RULES),
    f"/{ROUTING}/ReplayRoute": _reading(READERS | RULES),
    f"/{ROUTING}/SimulateRulePack": replace(
        _reading(RULES), kinds=frozenset({STAFF}), deadline=TRANSFER
    ),
    f"/{DESTINATIONS}/DeclareDestinationState": _judging(WORKERS | JUDGES),
    f"/{DESTINATIONS}/ListDestinationStates": _reading(READERS | RULES),
    f"/{AGGREGATES}/PreviewReport": _judging(),  # shows exact numbers
    f"/{AGGREGATES}/PushReport": _judging(RELEASERS),
    f"/{AGGREGATES}/GetReport": _reading(JUDGES),
    f"/{AGGREGATES}/ListReports": _reading(JUDGES),
    f"/{AGGREGATES}/ListBudgetEntries": _reading(JUDGES),
    f"/{HUB}/QueryMap": replace(_reading(ANALYSTS), kinds=frozenset({STAFF})),
    f"/{OPERATION}/GetPeer": replace(_reading(OPERATORS), kinds=frozenset({STAFF})),
    f"/{OPERATION}/ListPeers": replace(_reading(OPERATORS), kinds=frozenset({STAFF})),
    f"/{OPERATION}/PausePeer": _judging(OPERATORS),
    f"/{OPERATION}/DrainPeer": _judging(OPERATORS),
    f"/{OPERATION}/ResumePeer": _judging(OPERATORS),
    f"/{OPERATION}/ListUndelivered": replace(_reading(OPERATORS), kinds=frozenset({STAFF})),
    f"/{OPERATION}/AcknowledgeUndelivered": _judging(OPERATORS),
    f"/{OPERATION}/ResendUndelivered": _judging(OPERATORS),
    f"/{OPERATION}/DiscardUndelivered": _judging(OPERATORS),
    f"/{PEER}/DeliverEnvelopes": Access(
        kinds=frozenset({NODE}),
        scope=Scope.FEDERATION,
        deadline=timedelta(seconds=30),
        deadline_min=timedelta(milliseconds=200),
        is_validated=False,
    ),
    f"/{PEER}/FetchBlob": Access(
        kinds=frozenset({NODE}),
        scope=Scope.FEDERATION,
        deadline=TRANSFER,
        deadline_min=timedelta(milliseconds=200),
    ),
    f"/{PEER}/ExchangeHeads": Access(
        kinds=frozenset({NODE}),
        scope=Scope.FEDERATION,
        deadline=QUICK,
        deadline_min=AT_LEAST,
    ),
    f"/{PEER}/ReturnStatements": Access(
        kinds=frozenset({NODE}),
        scope=Scope.FEDERATION,
        deadline=LONG,
        deadline_min=AT_LEAST,
    ),
    f"/{FEDERATION}/GetRoster": Access(
        kinds=frozenset({NODE, STAFF, AUDITOR}),
        scope=Scope.CERTIFIED,
        deadline=QUICK,
        deadline_min=timedelta(0),
    ),
    f"/{FEDERATION}/WatchRoster": Access(
        kinds=frozenset({NODE, STAFF}),
        scope=Scope.CERTIFIED,
        deadline=STREAM,
        deadline_min=timedelta(0),
    ),
    f"/{HEALTH}/Check": _certified(QUICK, while_draining=True),
    f"/{HEALTH}/List": _certified(QUICK, while_draining=True),
    f"/{HEALTH}/Watch": _certified(STREAM, while_draining=True),
    f"/{REFLECTION}/ServerReflectionInfo": _certified(STREAM),
}

# What a node of each role must serve; a start fails on a difference in either direction. A
# custodian shows its roster too, so that staff can ask their own node.
SERVICES_OF_ROLE: Mapping[NodeRole, frozenset[str]] = {
    NodeRole.CUSTODIAN: frozenset(
        {
            *(TICKETS, CUSTODY, ROUTING, DESTINATIONS, ARBITRATION),
            *(AGGREGATES, OPERATION, PEER, FEDERATION),
        }
    ),
    NodeRole.DIRECTORY: frozenset({FEDERATION}),
    NodeRole.HUB: frozenset({HUB, OPERATION, PEER, FEDERATION}),
    NodeRole.ARBITER: frozenset({ARBITRATION, OPERATION, PEER, FEDERATION}),
}


def services_of(roles: Iterable[NodeRole]) -> frozenset[str]:
    """Return the services that a node of these roles is configured for."""
    return frozenset[str]().union(*(SERVICES_OF_ROLE[role] for role in roles))


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessCheck:
    """The matrix applied on one node.

    Attributes:
        hosts: tells whether this node hosts an authority.
        knows_node: tells whether the roster lists a node under a node id.
    """

    hosts: Callable[[str], bool]
    knows_node: Callable[[str], bool]

    def check(self, principal: Principal, method: str, access: Access) -> None:
        """Return if `principal` may call `method`.

        Raises:
            PeerNotAllowed: its kind or where it belongs does not allow it.
            RoleMissing: it is staff without the role.
        """
        if principal.kind not in access.kinds:  # 1
            kinds = ", ".join(sorted(kind.value for kind in access.kinds))
            raise PeerNotAllowed(
                principal=principal.name, got=f"a {principal.kind.value}", expected=kinds
            )
        self._check_scope(principal, access.scope)  # 2
        if principal.kind is PrincipalKind.STAFF:
            _check_roles(principal, method, access)  # 3

    def _check_scope(self, principal: Principal, scope: Scope) -> None:
        if scope is Scope.HOSTED and not self.hosts(principal.authority):
            got = f"authority {principal.authority}"
        elif scope is Scope.FEDERATION and not self.knows_node(principal.id):
            got = f"node {principal.id}, which the roster does not list"
        else:
            return
        raise PeerNotAllowed(principal=principal.name, got=got, expected=scope.value)


def _check_roles(principal: Principal, method: str, access: Access) -> None:
    got = ", ".join(sorted(role.value for role in principal.roles)) or "no role"
    if access.roles and not principal.has_role(*access.roles):
        expected = ", ".join(sorted(role.value for role in access.roles))
        raise RoleMissing(principal=principal.name, method=method, got=got, expected=expected)
    if principal.is_outsourced and not access.allows_outsourced:
        raise RoleMissing(
            principal=principal.name,
            method=method,
            got=f"{got}, outsourced",
            expected="staff of the authority itself",
            hint="hired staff may not do this; ask staff of the authority itself",
        )
