"""What `lubiao ticket submit` sends fits what a node takes."""

from __future__ import annotations

from gateway.cli.ticket import BATCH_BYTES_MAX, BATCH_MAX, batches
from hotline.ticket.v1 import ticket_pb2
from hotline.ticket.v1 import ticket_service_pb2 as ticket_pb


def requests(count: int, *, size: int) -> list[ticket_pb.CreateTicketRequest]:
    return [
        ticket_pb.CreateTicketRequest(ticket=ticket_pb2.Ticket(external_id="x" * size))
        for _ in range(count)
    ]


def test_small_tickets_go_by_number() -> None:
    assert [len(batch) for batch in batches(requests(BATCH_MAX + 1, size=1))] == [BATCH_MAX, 1]


def test_large_tickets_go_by_bytes_and_none_is_left_out() -> None:
    many = requests(300, size=60_000)

    found = list(batches(many))

    assert [each for batch in found for each in batch] == many
    assert all(sum(each.ByteSize() for each in batch) <= BATCH_BYTES_MAX for batch in found)


def test_a_ticket_over_every_bound_is_sent_alone_and_refused_by_the_node() -> None:
    [first, second] = batches(requests(2, size=BATCH_BYTES_MAX + 1))

    assert len(first) == len(second) == 1
