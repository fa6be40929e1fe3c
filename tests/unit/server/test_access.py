"""The access matrix covers the standard, no more and no less."""

from __future__ import annotations

import pytest
from google.protobuf.descriptor import FileDescriptor
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from gateway.kernel.errors import PeerNotAllowed, RoleMissing
from gateway.server.access import MATRIX, AccessCheck, Scope, services_of
from gateway.trust.principal import Principal, PrincipalKind, Role
from gateway.trust.roster import NodeRole
from hotline.aggregate.v1alpha1 import aggregate_service_pb2
from hotline.arbitration.v1 import arbitration_service_pb2
from hotline.custody.v1 import custody_service_pb2
from hotline.federation.v1 import federation_service_pb2
from hotline.hub.v1alpha1 import hub_service_pb2
from hotline.operation.v1alpha1 import operation_service_pb2
from hotline.peer.v1 import peer_service_pb2
from hotline.routing.v1 import destination_service_pb2, routing_service_pb2
from hotline.ticket.v1 import ticket_service_pb2

STANDARD: tuple[FileDescriptor, ...] = (
    ticket_service_pb2.DESCRIPTOR,
    custody_service_pb2.DESCRIPTOR,
    arbitration_service_pb2.DESCRIPTOR,
    routing_service_pb2.DESCRIPTOR,
    destination_service_pb2.DESCRIPTOR,
    peer_service_pb2.DESCRIPTOR,
    operation_service_pb2.DESCRIPTOR,
    federation_service_pb2.DESCRIPTOR,
    aggregate_service_pb2.DESCRIPTOR,
    hub_service_pb2.DESCRIPTOR,
)
CHECK = AccessCheck(hosts={"130000"}.__contains__, knows_node={"tianjin"}.__contains__)
HEALTH = "/grpc.health.v1.Health/Check"


def rpcs_of(*files: FileDescriptor) -> set[str]:
    return {
        f"/{service.full_name}/{method.name}"
        for file in files
        for service in file.services_by_name.values()
        for method in service.methods
    }


def allowed(principal: Principal) -> set[str]:
    found = set()
    for method, access in MATRIX.items():
        try:
            CHECK.check(principal, method, access)
        except (PeerNotAllowed, RoleMissing):
            continue
        found.add(method)
    return found


def a_principal(
    kind: PrincipalKind, *roles: Role, authority: str = "130000", name: str = "x"
) -> Principal:
    named = Principal.parse(f"lubiao://{authority}/{kind.value}/{name}")
    return Principal(named.authority, named.kind, named.id, frozenset(roles))


def test_every_rpc_has_a_row_and_every_row_an_rpc() -> None:
    known = rpcs_of(*STANDARD, health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR)
    assert set(MATRIX) == known


def test_every_service_of_the_standard_is_called_for_by_some_role() -> None:
    names = {method.split("/")[1] for method in rpcs_of(*STANDARD)}
    assert services_of(NodeRole) == names


def test_peers_may_only_deliver_and_read_the_roster() -> None:
    node = a_principal(PrincipalKind.NODE, authority="120000", name="tianjin")
    inner = {method for method in allowed(node) if method.startswith("/hotline")}
    assert {method.rpartition("/")[2] for method in inner} == {
        "DeliverEnvelopes",
        "ExchangeHeads",
        "FetchBlob",
        "GetRoster",
        "ReturnStatements",
        "WatchRoster",
    }


def test_a_node_that_the_roster_does_not_list_may_not_deliver() -> None:
    stranger = a_principal(PrincipalKind.NODE, authority="440000", name="stranger")
    assert not any("PeerService" in method for method in allowed(stranger))


@pytest.mark.parametrize("kind", [PrincipalKind.PLATFORM, PrincipalKind.STAFF])
def test_people_of_another_node_see_no_ticket(kind: PrincipalKind) -> None:
    stranger = a_principal(kind, *Role, authority="120000")
    assert not any("/hotline.ticket" in method for method in allowed(stranger))


def test_auditors_change_nothing_and_read_no_ticket() -> None:
    found = allowed(a_principal(PrincipalKind.AUDITOR))
    verbs = {method.rpartition("/")[2] for method in found if method.startswith("/hotline")}
    assert all(verb.startswith(("Get", "List", "Explain", "Export", "Replay")) for verb in verbs)
    assert not any("TicketService" in method for method in found)


def test_the_three_administrators_reach_no_ticket() -> None:
    for role in (Role.SYSTEM_ADMINISTRATOR, Role.SECURITY_ADMINISTRATOR, Role.AUDIT_ADMINISTRATOR):
        found = allowed(a_principal(PrincipalKind.STAFF, role))
        assert not any("TicketService" in method or "Custody" in method for method in found)


def test_only_a_panel_member_of_the_own_staff_rules() -> None:
    ruling = "/hotline.arbitration.v1.ArbitrationService/IssueRuling"
    judges = {role for role in Role if ruling in allowed(a_principal(PrincipalKind.STAFF, role))}
    assert judges == {Role.PANEL_MEMBER}
    member = a_principal(PrincipalKind.STAFF, Role.PANEL_MEMBER)
    hired = Principal(member.authority, member.kind, member.id, member.roles, is_outsourced=True)
    assert ruling not in allowed(hired)


def test_the_program_itself_has_no_row() -> None:
    assert allowed(Principal.system("130000")) == set()


def test_health_is_open_to_everybody_with_a_certificate_even_while_draining() -> None:
    assert MATRIX[HEALTH].scope is Scope.CERTIFIED
    assert MATRIX[HEALTH].while_draining


def test_the_least_deadline_is_below_the_default() -> None:
    assert all(access.deadline_min < access.deadline for access in MATRIX.values())


@pytest.mark.parametrize(
    ("verb", "roles"),
    [
        ("CreateTicket", {Role.CLERK, Role.DISPATCHER}),
        ("BatchCreateTickets", {Role.CLERK, Role.DISPATCHER}),
        ("AcknowledgeTicket", set()),  # a platform's word about its own disk
        ("AssignTicket", {Role.DISPATCHER}),
        ("SignForTicket", {Role.HANDLER, Role.DISPATCHER}),
        ("ResolveTicket", {Role.HANDLER, Role.DISPATCHER, Role.CLERK}),
        ("RateTicket", {Role.CLERK, Role.DISPATCHER, Role.SUPERVISOR}),
    ],
)
def test_staff_reaches_what_dispatch_lets_it_do(verb: str, roles: set[Role]) -> None:
    method = f"/hotline.ticket.v1.TicketService/{verb}"
    assert {role for role in Role if method in allowed(a_principal(PrincipalKind.STAFF, role))} == (
        roles
    )
