"""Texts of letters and children: protobuf in, serialised messages out; nothing is decided here.

A child that asks for help carries what the helper needs of its parent's text, without who calls:
what the caller stated of himself, numbers of mobile phones and of residents are left out.
"""

from __future__ import annotations

import re

from gateway.dispatch.codec import to_bytes
from gateway.kernel.time import Instant
from gateway.tickets.children import TITLE_PREFIX
from gateway.tickets.codec import rating_from_pb, rating_to_pb
from gateway.tickets.model import Rating
from hotline.ticket.v1 import ticket_pb2

LEFT_OUT = "（略）"
TITLE_LENGTH_MAX, TEXT_LENGTH_MAX = 400, 16_000  # bounds of the standard
STATED_LENGTH_MIN = 2  # a shorter name would take words apart
_NUMBERS = re.compile(r"(?<!\d)(?:\d{17}[\dXx]|(?:\+?86[- ]?)?1[3-9]\d[- ]?\d{4}[- ]?\d{4})(?!\d)")


def rating_to_bytes(rating: Rating) -> bytes:
    """Serialise a rating for a letter."""
    return to_bytes(rating_to_pb(rating))


def rating_from_bytes(raw: bytes, *, rate_time: Instant) -> Rating:
    """Read the rating of a letter."""
    return rating_from_pb(ticket_pb2.Rating.FromString(raw), rate_time=rate_time)


def assist_texts(content: bytes, citizen: bytes | None, *, asking: str) -> tuple[str, str]:
    """Return title and text of a child that asks for help, without who calls."""
    message = ticket_pb2.TicketContent.FromString(content)
    stated = _stated(citizen)
    place = f"发生地区划：{message.place.region}。" if message.place.region else ""
    title = f"{TITLE_PREFIX}{_without(message.title, stated)}"
    text = f"{asking}请求协助办理。{place}\n{_without(message.content, stated)}"
    return title[:TITLE_LENGTH_MAX], text[:TEXT_LENGTH_MAX]


def issue_texts(content: bytes, *, matter: str) -> tuple[str, str]:
    """Return title and text of a child for a further matter: the citizen's own words."""
    message = ticket_pb2.TicketContent.FromString(content)
    return f"{matter}：{message.title}"[:TITLE_LENGTH_MAX], message.content[:TEXT_LENGTH_MAX]


def child_content(parent: bytes, *, title: str, text: str, region: str, is_help: bool) -> bytes:
    """Serialise the content of a child; one that helps also gets the reported parties and facts."""
    message = ticket_pb2.TicketContent(
        title=title, content=text, place=ticket_pb2.Place(region=region)
    )
    if is_help:
        known = ticket_pb2.TicketContent.FromString(parent)
        message.reported_parties.extend(known.reported_parties)
        message.facts.CopyFrom(known.facts)
    return to_bytes(message)


def _stated(citizen: bytes | None) -> tuple[str, ...]:
    known = ticket_pb2.Citizen.FromString(citizen or b"")
    values = (known.display_name, known.certificate_number, known.email, *known.phones)
    return tuple(value for value in values if len(value) >= STATED_LENGTH_MIN)


def _without(text: str, stated: tuple[str, ...]) -> str:
    for value in sorted(stated, key=len, reverse=True):
        text = text.replace(value, LEFT_OUT)
    return _NUMBERS.sub(LEFT_OUT, text)
