"""Bad input from platforms and people: a typed error that says what, and nothing accepted is lost.

All tests share one federation (tests/fixtures/federations.py). When its last test is done, and in
the last test here, `check_unharmed` looks whether what was accepted survived all of this.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.database.embedded import EmbeddedPostgres
from gateway.trust.certificates import CertificateAuthority
from gateway.trust.principal import Role
from hotline.custody.v1 import custody_pb2
from hotline.custody.v1 import custody_service_pb2 as custody_pb
from hotline.ticket.v1 import codes_pb2, ticket_pb2
from hotline.ticket.v1 import ticket_service_pb2 as ticket_pb
from hotline.ticket.v1 import ticket_service_pb2_grpc as ticket_grpc
from tests.fixtures.federations import (
    CALL_SECONDS,
    CLOCK,
    IDENTITY,
    PERSON,
    PHONE,
    POLL_SECONDS,
    SETTLE_SECONDS_MAX,
    Refusal,
    Running,
    a_ticket,
    creating,
    getting,
    holds_secrets,
    refusal,
    request_id,
)

TIANJIN, LANGFANG = "120000", "131000"
PLATFORM = "120000-p1"
MEBIBYTE = 1024 * 1024
NOT_JOINED = "330000"  # 浙江


def assert_explains(found: Refusal, reason: str, *, code: str) -> None:
    """Fail unless it is a whole typed error: reason, domain, both texts, nothing personal."""
    assert (found.reason, found.code) == (reason, code), found
    assert found.domain == "lubiao"
    assert found.text
    assert any("\u4e00" <= letter <= "\u9fff" for letter in found.chinese)
    assert not holds_secrets(found.whole)


# --- malformed, oversized, impossible -------------------------------------------------------------


def test_malformed_ticket_is_told_every_violation_at_once(federation: Running) -> None:
    ticket = a_ticket(external_id="x" * 81)
    ticket.matter = PHONE  # eleven digits where six belong, and somebody's
    ticket.content.title = PERSON * 60
    ticket.content.place.region = "0"
    ticket.citizen.phones.append(IDENTITY * 2)
    ticket.ClearField("channel")

    found = refusal(federation.tickets(TIANJIN, PLATFORM).CreateTicket, creating(ticket))

    assert_explains(found, "FIELD_INVALID", code="INVALID_ARGUMENT")
    assert set(found.violations) == {
        "ticket.external_id",
        "ticket.matter",
        "ticket.content.title",
        "ticket.content.place.region",
        "ticket.citizen.phones[1]",
        "ticket.channel",
    }
    assert found.metadata["field"] in found.violations


def test_request_over_the_bound_is_told_its_size_and_the_bound(federation: Running) -> None:
    ticket = a_ticket()
    ticket.content.content = "长" * (2 * MEBIBYTE)

    found = refusal(federation.tickets(TIANJIN, PLATFORM).CreateTicket, creating(ticket))

    assert_explains(found, "BATCH_TOO_LARGE", code="RESOURCE_EXHAUSTED")
    assert int(found.metadata["got"].removesuffix(" bytes")) > 6 * MEBIBYTE
    assert found.metadata["expected"] == f"{4 * MEBIBYTE} bytes"


def test_request_of_many_times_the_bound_is_refused_by_grpc_itself(federation: Running) -> None:
    ticket = a_ticket()
    ticket.content.content = "x" * (17 * MEBIBYTE)

    found = refusal(federation.tickets(TIANJIN, PLATFORM).CreateTicket, creating(ticket))

    assert (found.code, found.reason) == ("RESOURCE_EXHAUSTED", "")  # docs/server.md#the-gate


@pytest.mark.parametrize("region", ["999999", "131099"])
def test_never_assigned_region_is_refused_with_what_to_do(federation: Running, region: str) -> None:
    request = creating(a_ticket(region=region))

    found = refusal(federation.tickets(TIANJIN, PLATFORM).CreateTicket, request)

    assert_explains(found, "FIELD_INVALID", code="INVALID_ARGUMENT")
    assert (found.metadata["field"], found.metadata["got"]) == ("content.place.region", region)
    assert "county" in found.metadata["hint"]


@pytest.mark.parametrize(
    "seconds",
    [
        -62_135_596_800,  # the year 1, the empty date of some platforms
        0,
        10**15,
        4_102_444_800,  # 2100
    ],
)
def test_impossible_receipt_time_is_refused(federation: Running, seconds: int) -> None:
    ticket = a_ticket()
    ticket.received_time.CopyFrom(Timestamp(seconds=seconds))

    found = refusal(federation.tickets(TIANJIN, PLATFORM).CreateTicket, creating(ticket))

    assert_explains(found, "FIELD_INVALID", code="INVALID_ARGUMENT")
    assert found.metadata["field"] == "received_time"


def test_impossible_contact_time_does_not_make_the_ticket_unreadable(federation: Running) -> None:
    name = federation.hand_in(a_ticket(region="120101")).name
    ticket = federation.until_held_by(TIANJIN, name)
    unit = federation.tickets(TIANJIN, ticket.assignments[0].platform)
    unit.SignForTicket(ticket_pb.SignForTicketRequest(name=name, request_id=request_id()))

    found = refusal(
        unit.RecordContact,
        ticket_pb.RecordContactRequest(
            name=name,
            method=codes_pb2.CONTACT_METHOD_PHONE,
            contact_time=Timestamp(seconds=-62_135_596_800),
            request_id=request_id(),
        ),
    )

    assert_explains(found, "FIELD_INVALID", code="INVALID_ARGUMENT")
    staff = federation.tickets(TIANJIN, Role.SUPERVISOR)
    assert staff.GetTicket(getting(name)).ticket.state == ticket_pb2.Ticket.STATE_HANDLING
    assert staff.ListTickets(ticket_pb.ListTicketsRequest()).tickets


def test_text_that_no_database_can_hold_is_refused_by_field(federation: Running) -> None:
    platform = federation.tickets(TIANJIN, PLATFORM)

    created = refusal(platform.CreateTicket, creating(a_ticket(external_id="T\0-1")))
    listed = refusal(
        platform.ListTickets, ticket_pb.ListTicketsRequest(filter='external_id = "\0"')
    )

    assert_explains(created, "FIELD_INVALID", code="INVALID_ARGUMENT")
    assert set(created.violations) == {"ticket.external_id"}
    assert set(listed.violations) == {"filter"}


# --- batches --------------------------------------------------------------------------------------


def test_bad_ticket_in_a_batch_fails_alone(federation: Running) -> None:
    bad = a_ticket()
    bad.matter, bad.content.title = PERSON, ""
    unknown = a_ticket(region="999999")
    requests = [creating(each) for each in (a_ticket(), bad, unknown, a_ticket())]

    answer = federation.tickets(TIANJIN, PLATFORM).BatchCreateTickets(
        ticket_pb.BatchCreateTicketsRequest(requests=requests), timeout=CALL_SECONDS
    )

    kinds = [result.WhichOneof("outcome") for result in answer.results]
    assert kinds == ["ticket", "error", "error", "ticket"]
    for position in (0, 3):
        federation.acknowledged(answer.results[position].ticket)
    malformed, never = (Refusal.of(answer.results[position].error) for position in (1, 2))
    assert_explains(malformed, "FIELD_INVALID", code="INVALID_ARGUMENT")
    assert set(malformed.violations) == {"ticket.matter", "ticket.content.title"}
    assert_explains(never, "FIELD_INVALID", code="INVALID_ARGUMENT")


def test_batch_of_501_tickets_is_refused_whole(federation: Running) -> None:
    platform = federation.tickets(TIANJIN, PLATFORM)
    first = a_ticket()
    batch = ticket_pb.BatchCreateTicketsRequest(requests=[creating(first)] * 501)

    found = refusal(platform.BatchCreateTickets, batch)

    assert_explains(found, "BATCH_TOO_LARGE", code="RESOURCE_EXHAUSTED")
    assert found.metadata["got"] == "501 tickets"
    mine = ticket_pb.ListTicketsRequest(filter=f'external_id = "{first.external_id}"')
    assert not platform.ListTickets(mine).tickets


# --- repeats --------------------------------------------------------------------------------------


def test_request_id_with_another_body_is_refused_and_with_the_same_answered(
    federation: Running,
) -> None:
    platform = federation.tickets(TIANJIN, PLATFORM)
    request = creating(a_ticket())
    first = platform.CreateTicket(request, timeout=CALL_SECONDS)
    federation.acknowledged(first.ticket)

    found = refusal(platform.CreateTicket, creating(a_ticket(), with_id=request.request_id))
    again = platform.CreateTicket(request, timeout=CALL_SECONDS)

    assert_explains(found, "REQUEST_ID_REUSED", code="INVALID_ARGUMENT")
    assert found.metadata["request_id"] == request.request_id
    assert again.SerializeToString(deterministic=True) == first.SerializeToString(
        deterministic=True
    )


def test_external_id_with_other_content_is_refused_and_with_the_same_found(
    federation: Running,
) -> None:
    platform = federation.tickets(TIANJIN, PLATFORM)
    ticket = a_ticket()
    first = federation.hand_in(ticket)
    other = a_ticket(external_id=ticket.external_id)
    other.content.expectation = "另一件事"

    found = refusal(platform.CreateTicket, creating(other))
    again = platform.CreateTicket(creating(ticket), timeout=CALL_SECONDS).ticket

    assert_explains(found, "RESOURCE_EXISTS", code="ALREADY_EXISTS")
    assert again.name == first.name


# --- filters and tokens ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", [f"phones = {PHONE}", "state", 'state = "NO_STATE"', "state = = a", 'matter = "1']
)
def test_filter_that_does_not_hold_is_told_what_would(federation: Running, text: str) -> None:
    platform = federation.tickets(TIANJIN, PLATFORM)

    found = refusal(platform.ListTickets, ticket_pb.ListTicketsRequest(filter=text))

    assert_explains(found, "FILTER_INVALID", code="INVALID_ARGUMENT")


@pytest.mark.parametrize("token", ["x", "%%%", "文", base64.b64encode(b"[1,2]" * 9).decode()])
def test_token_that_was_not_issued_is_refused_everywhere(federation: Running, token: str) -> None:
    platform = federation.tickets(TIANJIN, PLATFORM)
    staff = federation.custody(TIANJIN, Role.SUPERVISOR)
    name = federation.hand_in(a_ticket()).name

    def watch(request: ticket_pb.WatchTicketsRequest, *, timeout: float) -> object:
        return next(iter(platform.WatchTickets(request, timeout=timeout)))

    calls: list[tuple[Callable[..., Any], Any]] = [
        (platform.ListTickets, ticket_pb.ListTicketsRequest(page_token=token)),
        (
            platform.ListTicketEvents,
            ticket_pb.ListTicketEventsRequest(parent=name, page_token=token),
        ),
        (watch, ticket_pb.WatchTicketsRequest(resume_token=token)),
        (
            staff.ListCustodyRecords,
            custody_pb.ListCustodyRecordsRequest(parent=name, page_token=token),
        ),
        (
            staff.ListTransfers,
            custody_pb.ListTransfersRequest(parent="tickets/-", page_token=token),
        ),
    ]
    for call, request in calls:
        found = refusal(call, request)
        assert_explains(found, "PAGE_TOKEN_INVALID", code="INVALID_ARGUMENT")


def test_token_of_another_caller_is_refused(federation: Running) -> None:
    for _ in range(2):
        federation.hand_in(a_ticket())
    page = ticket_pb.ListTicketsRequest(page_size=1)
    token = federation.tickets(TIANJIN, PLATFORM).ListTickets(page).next_page_token
    assert token

    found = refusal(
        federation.tickets(TIANJIN, Role.SUPERVISOR).ListTickets,
        ticket_pb.ListTicketsRequest(page_size=1, page_token=token),
    )

    assert_explains(found, "PAGE_TOKEN_INVALID", code="INVALID_ARGUMENT")


# --- who may --------------------------------------------------------------------------------------


def test_certificate_of_an_unknown_ca_does_not_get_through(
    federation: Running, tmp_path: Path
) -> None:
    foreign = CertificateAuthority.create(tmp_path / "ca", TIANJIN, now=CLOCK.now())
    issued = foreign.issue_platform(PLATFORM, now=CLOCK.now())
    channel = federation.channel_with(issued, to="tianjin", name="of an unknown CA")

    found = refusal(ticket_grpc.TicketServiceStub(channel).CreateTicket, creating(a_ticket()))

    assert (found.code, found.reason) == ("UNAVAILABLE", "")  # TLS ends it before any RPC


def test_ca_of_one_authority_cannot_speak_for_another_of_the_node(federation: Running) -> None:
    ca = federation.ca(LANGFANG)
    forged = CertificateAuthority(
        owner="130000", certificate=ca.certificate, key=ca.key, directory=ca.directory
    )
    issued = forged.issue_platform("130000-p1", now=CLOCK.now())
    channel = federation.channel_with(issued, to="hebei", name="of a city for its province")

    found = refusal(ticket_grpc.TicketServiceStub(channel).CreateTicket, creating(a_ticket()))

    assert_explains(found, "PEER_NOT_ALLOWED", code="PERMISSION_DENIED")


def an_assignment(name: str) -> ticket_pb.AssignTicketRequest:
    return ticket_pb.AssignTicketRequest(
        name=name, unit="units/120000-JW-1", basis="职责清单", request_id=request_id()
    )


@pytest.mark.parametrize(
    ("caller", "outsourced", "reason"),
    [
        (Role.CLERK, False, "ROLE_MISSING"),
        (Role.HANDLER, False, "ROLE_MISSING"),
        (Role.DISPATCHER, True, "ROLE_MISSING"),
        (PLATFORM, False, "PEER_NOT_ALLOWED"),
    ],
)
def test_only_the_authoritys_own_dispatchers_judge_dispatch(
    federation: Running, caller: str | Role, outsourced: bool, reason: str
) -> None:
    name = federation.hand_in(a_ticket()).name
    stub = federation.tickets(TIANJIN, caller, outsourced=outsourced)

    found = refusal(stub.AssignTicket, an_assignment(name))

    assert_explains(found, reason, code="PERMISSION_DENIED")
    assert found.metadata["expected"]


def test_auditor_neither_acts_nor_reads_tickets(federation: Running) -> None:
    name = federation.hand_in(a_ticket()).name
    issued = federation.ca(TIANJIN).issue_auditor("auditor-1", now=CLOCK.now())
    channel = federation.channel_with(issued, to="tianjin", name="auditor")
    stub = ticket_grpc.TicketServiceStub(channel)

    for found in (
        refusal(stub.AssignTicket, an_assignment(name)),
        refusal(stub.GetTicket, getting(name, purpose="审计")),
    ):
        assert_explains(found, "PEER_NOT_ALLOWED", code="PERMISSION_DENIED")


@pytest.mark.parametrize(
    ("authority", "caller"),
    [
        (TIANJIN, "120000-p2"),  # the same authority, another platform
        ("130000", "130000-p1"),  # earlier custodian, but not of that platform
        (LANGFANG, "131000-p2"),  # the custodian, but no unit of that platform
        ("130100", Role.SUPERVISOR),  # an authority that never had it
    ],
)
def test_foreign_row_looks_like_none(
    federation: Running, authority: str, caller: str | Role
) -> None:
    name = federation.hand_in(a_ticket()).name
    federation.until_held_by(LANGFANG, name)
    stub = federation.tickets(authority, caller)

    read = refusal(stub.GetTicket, getting(name))
    events = refusal(stub.ListTicketEvents, ticket_pb.ListTicketEventsRequest(parent=name))
    acted = refusal(
        stub.CloseTicket, ticket_pb.CloseTicketRequest(name=name, request_id=request_id())
    )

    for found in (read, events, acted):
        assert_explains(found, "RESOURCE_NOT_FOUND", code="NOT_FOUND")
    listed = stub.ListTickets(ticket_pb.ListTicketsRequest(page_size=500)).tickets
    assert name not in {ticket.name for ticket in listed}


def readings(federation: Running, node: str, name: str) -> list[asyncpg.Record]:
    """Return the audit rows of readings of a ticket's personal fields at a node."""

    async def fetch() -> list[asyncpg.Record]:
        dsn = EmbeddedPostgres(federation.federation.layout.database(node)).dsn()
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetch(
                "SELECT principal, role, purpose, basis FROM audit_entries"
                " WHERE subject = $1 AND act = 'ticket.read_citizen' ORDER BY time",
                name,
            )
        finally:
            await connection.close()

    return asyncio.run(fetch())


def until_identified(federation: Running, name: str) -> None:
    """Return when a dispatcher of 廊坊 sees who calls: that follows the acceptance, on its own."""
    dispatcher = federation.tickets(LANGFANG, Role.DISPATCHER)
    end = time.monotonic() + SETTLE_SECONDS_MAX
    request = getting(name, purpose="dispatch")
    while not dispatcher.GetTicket(request).ticket.HasField("citizen"):
        assert time.monotonic() < end, "the identity did not arrive"
        time.sleep(POLL_SECONDS)


def test_personal_fields_come_with_a_purpose_only_and_leave_an_audit_row(
    federation: Running,
) -> None:
    name = federation.hand_in(a_ticket()).name
    federation.until_held_by(LANGFANG, name)
    until_identified(federation, name)  # with a purpose
    handler = federation.tickets(LANGFANG, Role.HANDLER)

    without = handler.GetTicket(getting(name)).ticket
    [first] = readings(federation, "hebei", name)
    shown = handler.GetTicket(getting(name, purpose="handling")).ticket
    [same, row] = readings(federation, "hebei", name)

    assert without.content.title
    assert not without.HasField("citizen")
    assert shown.citizen.display_name == PERSON
    assert (same["role"], first["role"], row["role"]) == ("dispatcher", "dispatcher", "handler")
    assert row["principal"] == "lubiao://131000/staff/staff-1"
    assert row["purpose"] == "handling"
    # What is listed or watched never holds a text, purpose or not.
    listed = handler.ListTickets(ticket_pb.ListTicketsRequest(page_size=500))
    assert not holds_secrets(listed.SerializeToString())


# --- destinations ---------------------------------------------------------------------------------


def test_destination_that_has_not_joined_is_refused_to_people_and_referred_by_routing(
    federation: Running,
) -> None:
    ticket = federation.hand_in(a_ticket(region="330106"))
    staff = federation.custody(TIANJIN, Role.DISPATCHER)

    found = refusal(
        staff.CreateTransfer,
        custody_pb.CreateTransferRequest(
            parent=ticket.name,
            target=NOT_JOINED,
            reason=custody_pb2.OFFER_REASON_PLACE,
            request_id=request_id(),
        ),
    )

    assert_explains(found, "DESTINATION_NOT_JOINED", code="FAILED_PRECONDITION")
    assert found.metadata["authority"] == NOT_JOINED
    assert ticket.external_referral.region == NOT_JOINED
    assert ticket.custody.holding == ticket_pb2.Custody.HOLDING_HELD
    sheet = federation.tickets(TIANJIN, Role.DISPATCHER).GetTicket(getting(ticket.name)).ticket
    assert sheet.external_referral.sheet


# --- afterwards -----------------------------------------------------------------------------------


def test_after_bad_input_nothing_accepted_is_lost_and_nothing_personal_is_logged(
    federation: Running,
) -> None:
    platform = federation.tickets(TIANJIN, PLATFORM)
    before = federation.hand_in(a_ticket()).name
    for bad in (a_ticket(external_id="x" * 81), a_ticket(region="999999")):
        refusal(platform.CreateTicket, creating(bad))
    after = federation.hand_in(a_ticket()).name

    for name in (before, after):
        federation.until_held_by(LANGFANG, name)
    federation.check_unharmed()
    received = 'lubiao_delivery_receipts_total{outcome="received",peer="hebei"}'
    assert received in federation.metrics("tianjin")
