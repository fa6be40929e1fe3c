"""A row to a ticket of the standard, and a ticket, an event or an outcome to a row.

Pure: nothing here reads a file or a clock. Errors name row and column; the value is quoted only for
code tables, numbers and times, never for text that may be personal.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from adapters.file_drop.formats import Row
from adapters.kit.mapping import ACTIONS, FACT_REGIONS, TABLES, Mapping
from gateway.kernel.errors import FieldInvalid
from gateway.kernel.time import SHANGHAI
from hotline.ticket.v1 import codes_pb2, ticket_pb2

_LIST = re.compile(r"[;；、|]")  # Chinese platforms separate lists with these
_TRUE = frozenset({"true", "1", "是", "y", "yes"})
_FALSE = frozenset({"", "false", "0", "否", "n", "no"})
_TIME_FORMATS = ("%Y-%m-%d %H:%M:%S", "%Y/%m/%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d")
_YEAR = re.compile(r"^[12][0-9]{3}$")
_COUNT = re.compile(r"^[1-9][0-9]{0,2}$")
_NUMBER = re.compile(r"^(tickets/)?(?P<number>[1-9][0-9]{21}[0-9X])$")


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of one row by the standard's field names."""

    mapping: Mapping
    row: Row
    name: str

    def text(self, field: str) -> str:
        """Return a cell, or the constant that stands for it."""
        constant = self.mapping.constants.get(field)
        return constant if constant is not None else self.row.values.get(self._key(field), "")

    def location(self, field: str) -> str:
        """Return how an error names the cell."""
        return f"{self.name}:{self.row.number}.{self._key(field)}"

    def word(self, field: str, *, catalogue: str = "") -> str:
        """Return the national code of a cell that names an entry of a catalogue."""
        return self.mapping.read_catalogue(
            catalogue or field, self.text(field), location=self.location(field)
        )

    def words(self, field: str, *, catalogue: str) -> list[str]:
        """Return the national codes of a cell that holds a list."""
        location = self.location(field)
        return [
            self.mapping.read_catalogue(catalogue, text, location=location)
            for text in self.texts(field)
        ]

    def count(self, field: str) -> int:
        """Return a number within a ticket; 0 when the cell is empty."""
        text = self.text(field)
        if not text:
            return 0
        if not _COUNT.match(text):
            raise FieldInvalid(field=self.location(field), got=text, expected="a number, 1 to 999")
        return int(text)

    def code(self, field: str) -> int:
        """Return the standard code of a cell; 0 when it is empty."""
        constant = self.mapping.constants.get(field)
        if constant is not None:
            return TABLES[field][constant]
        text = self.text(field)
        if not text:
            return 0
        return self.mapping.tables[field].read(text, location=self.location(field))

    def codes(self, field: str) -> list[int]:
        """Return the standard codes of a cell that holds a list."""
        table = self.mapping.tables[field]
        return [table.read(text, location=self.location(field)) for text in self.texts(field)]

    def texts(self, field: str) -> list[str]:
        """Return the items of a cell that holds a list."""
        return [part.strip() for part in _LIST.split(self.text(field)) if part.strip()]

    def flag(self, field: str) -> bool:
        """Return a yes-or-no cell; empty is no."""
        text = self.text(field).lower()
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        raise FieldInvalid(field=self.location(field), got=text, expected="是/否, true/false, 1/0")

    def year(self, field: str) -> int:
        """Return a year; 0 when it is empty."""
        text = self.text(field)
        if not text:
            return 0
        if not _YEAR.match(text):
            raise FieldInvalid(field=self.location(field), got=text, expected="a year, four digits")
        return int(text)

    def time(self, field: str) -> Timestamp | None:
        """Return a time; without an offset it is Asia/Shanghai."""
        text = self.text(field)
        if not text:
            return None
        moment = _moment(text)
        if moment is None:
            raise FieldInvalid(
                field=self.location(field), got=text, expected="2026-01-31 08:30:00 or RFC 3339"
            )
        stamp = Timestamp()
        stamp.FromDatetime(moment.astimezone(UTC))
        return stamp

    def _key(self, field: str) -> str:
        return self.mapping.column(field)


def external_id_of(cells: Cells) -> str:
    """Return the platform's number of a row, or a digest of the row when it keeps none."""
    text = cells.text("external_id")
    if "external_id" in cells.mapping.columns and not text:
        raise FieldInvalid(
            field=cells.location("external_id"), got="nothing", expected="the platform's number"
        )
    if text:
        return text
    canonical = json.dumps(dict(cells.row.values), ensure_ascii=False, sort_keys=True)
    return "row-" + hashlib.sha256(canonical.encode()).hexdigest()[:32]


def ticket_of_row(mapping: Mapping, row: Row, *, name: str) -> ticket_pb2.Ticket:
    """Return the message that a row of file `name` holds.

    Raises:
        FieldInvalid: a cell is not mapped or does not read; the error names row and column.
    """
    if row.error is not None:
        raise row.error
    cells = Cells(mapping, row, name)
    for field in ("channel", "type", "urgency", "matter", "title", "content", "region"):
        if not cells.text(field):
            raise FieldInvalid(field=cells.location(field), got="nothing", expected="a value")
    ticket = ticket_pb2.Ticket(
        external_id=external_id_of(cells),
        channel=codes_pb2.Channel.ValueType(cells.code("channel")),
        type=codes_pb2.TicketType.ValueType(cells.code("type")),
        matter=cells.word("matter"),
        urgency=codes_pb2.Urgency.ValueType(cells.code("urgency")),
        subject_kind=codes_pb2.SubjectKind.ValueType(cells.code("subject_kind")),
        risk_tags=[codes_pb2.RiskTag.ValueType(code) for code in cells.codes("risk_tags")],
        content=_content(cells),
        anonymous=cells.flag("anonymous"),
        secrecy_required=cells.flag("secrecy_required"),
        received_time=cells.time("received_time"),
    )
    citizen = _citizen(cells)
    if citizen.ByteSize():
        ticket.citizen.CopyFrom(citizen)
    return ticket


def _content(cells: Cells) -> ticket_pb2.TicketContent:
    content = ticket_pb2.TicketContent(
        title=cells.text("title"),
        content=cells.text("content"),
        expectation=cells.text("expectation"),
        place=ticket_pb2.Place(
            region=cells.word("region"),
            as_of_year=cells.year("as_of_year"),
            township_code=cells.text("township_code"),
            address=cells.text("address"),
            zone=cells.text("zone"),
            on_boundary=cells.flag("on_boundary"),
        ),
        occurred_time=cells.time("occurred_time"),
    )
    unit = cells.text("party_unit")
    party = ticket_pb2.ReportedParty(
        display_name=cells.text("party_name"),
        credit_code=cells.text("party_credit_code"),
        unit=unit if unit.startswith("units/") or not unit else f"units/{unit}",
    )
    if party.ByteSize():
        content.reported_parties.append(party)
    facts = _facts(cells)
    if facts.ByteSize():
        content.facts.CopyFrom(facts)
    return content


def _facts(cells: Cells) -> ticket_pb2.Facts:
    regions = {name: cells.word(name, catalogue="region") for name in FACT_REGIONS}
    return ticket_pb2.Facts(
        **regions,
        passing_regions=cells.words("passing_regions", catalogue="region"),
        noise_source=codes_pb2.NoiseSource.ValueType(cells.code("noise_source")),
        industry=cells.text("industry"),
        at_night=cells.flag("at_night"),
        owner_unknown=cells.flag("owner_unknown"),
    )


def _citizen(cells: Cells) -> ticket_pb2.Citizen:
    return ticket_pb2.Citizen(
        display_name=cells.text("citizen_name"),
        certificate_type=codes_pb2.CertificateType.ValueType(cells.code("certificate_type")),
        certificate_number=cells.text("certificate_number"),
        phones=cells.texts("phones"),
        email=cells.text("email"),
        special_groups=[
            codes_pb2.SpecialGroup.ValueType(code) for code in cells.codes("special_groups")
        ],
        contact_hours=cells.text("contact_hours"),
    )


# --- answers of the platform ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """What the platform says about a ticket that it handles."""

    number: str
    action: str
    method: int
    contact_time: Timestamp | None
    resolution: ticket_pb2.Resolution
    rating: ticket_pb2.Rating
    basis: str
    digest: str
    return_reason: int = 0
    clause: str = ""
    proposed_owner: str = ""
    question: str = ""
    question_number: int = 0
    text: str = ""
    extension_reason: int = 0
    new_due_time: Timestamp | None = None


def answer_of_row(mapping: Mapping, row: Row, *, name: str) -> Answer:
    """Return the answer that a row of file `name` holds.

    Raises:
        FieldInvalid: a cell is not mapped or does not read; the error names row and column.
    """
    if row.error is not None:
        raise row.error
    cells = Cells(mapping, row, name)
    found = _NUMBER.match(cells.text("number"))
    if found is None:
        raise FieldInvalid(
            field=cells.location("number"),
            got=cells.text("number") or "nothing",
            expected="a ticket number of 23 characters",
        )
    action_code = cells.code("action")
    if not action_code:
        raise FieldInvalid(
            field=cells.location("action"), got="nothing", expected=", ".join(ACTIONS)
        )
    method = cells.code("method")
    canonical = json.dumps(dict(row.values), ensure_ascii=False, sort_keys=True)
    return Answer(
        number=found["number"],
        action=ACTIONS[action_code - 1],
        method=method,
        contact_time=cells.time("contact_time"),
        resolution=ticket_pb2.Resolution(
            solved=codes_pb2.Solved.ValueType(cells.code("solved")),
            result=cells.text("result"),
            public_reply=cells.text("public_reply"),
        ),
        rating=ticket_pb2.Rating(
            satisfaction=codes_pb2.Satisfaction.ValueType(cells.code("satisfaction")),
            responded=cells.flag("responded"),
            solved=cells.flag("rated_solved"),
            method=codes_pb2.ContactMethod.ValueType(method),
        ),
        basis=cells.text("basis"),
        digest=hashlib.sha256(canonical.encode()).hexdigest(),
        return_reason=cells.code("return_reason"),
        clause=cells.text("clause"),
        proposed_owner=cells.text("proposed_owner"),
        question=cells.text("question"),
        question_number=cells.count("question_number"),
        text=cells.text("text"),
        extension_reason=cells.code("extension_reason"),
        new_due_time=cells.time("new_due_time"),
    )


# --- what goes out --------------------------------------------------------------------------------


def assignment_row(
    mapping: Mapping, ticket: ticket_pb2.Ticket, assignment: ticket_pb2.Assignment
) -> dict[str, str]:
    """Return the row that gives a platform a ticket to handle, with all it needs."""
    content, place = ticket.content, ticket.content.place
    citizen = ticket.citizen
    groups = mapping.tables["special_groups"]
    fields = _head(mapping, ticket) | {
        "assignment": str(assignment.number),
        "unit": assignment.unit.removeprefix("units/"),
        "unit_name": assignment.unit_name,
        "role": mapping.tables["role"].write(assignment.role),
        "rule": ticket.decision.rule,
        "legal_basis": ticket.decision.legal_basis,
        "explanation": ticket.decision.explanation,
        "sign_due_time": _time_text(assignment, "sign_due_time"),
        "contact_due_time": _time_text(assignment, "contact_due_time"),
        "title": content.title,
        "content": content.content,
        "expectation": content.expectation,
        "region": mapping.write_catalogue("region", ticket.resolved_region or place.region),
        "address": place.address,
        "occurred_time": _time_text(content, "occurred_time"),
        "citizen_name": citizen.display_name,
        "phones": ";".join(citizen.phones),
        "contact_hours": citizen.contact_hours,
        "special_groups": ";".join(groups.write(group) for group in citizen.special_groups),
        "anonymous": _flag_text(is_true=ticket.anonymous),
        "secrecy_required": _flag_text(is_true=ticket.secrecy_required),
    }
    return _named(mapping, fields)


def state_row(
    mapping: Mapping, ticket: ticket_pb2.Ticket, event: ticket_pb2.TicketEvent
) -> dict[str, str]:
    """Return the row that tells a platform how a ticket of its own goes on."""
    going = [
        item for item in ticket.assignments if item.state != ticket_pb2.Assignment.STATE_REASSIGNED
    ]
    lead = [item for item in going if item.role == codes_pb2.ASSIGNMENT_ROLE_LEAD] or going
    fields = _head(mapping, ticket) | {
        "event": event.kind,
        "event_time": _time_text(event, "event_time"),
        "actor": event.actor,
        "unit": lead[-1].unit.removeprefix("units/") if lead else "",
        "unit_name": lead[-1].unit_name if lead else "",
        "rule": ticket.decision.rule,
        "solved": mapping.tables["solved"].write(ticket.resolution.solved),
        "result": ticket.resolution.result,
        "public_reply": ticket.resolution.public_reply,
        "satisfaction": mapping.tables["satisfaction"].write(ticket.rating.satisfaction),
    }
    return _named(mapping, fields)


def question_row(
    mapping: Mapping, ticket: ticket_pb2.Ticket, question: ticket_pb2.InformationRequest
) -> dict[str, str]:
    """Return the row that asks the platform of the origin to ask its citizen."""
    fields = _head(mapping, ticket) | {
        "question_number": str(question.number),
        "question": question.question,
    }
    return _named(mapping, fields)


def receipt_row(mapping: Mapping, *, row: int, external_id: str, number: str) -> dict[str, str]:
    """Return the row that tells a platform under which number its message is kept."""
    return _named(mapping, {"row": str(row), "external_id": external_id, "number": number})


def _head(mapping: Mapping, ticket: ticket_pb2.Ticket) -> dict[str, str]:
    tables = mapping.tables
    return {
        "number": ticket.name.removeprefix("tickets/"),
        "external_id": ticket.external_id,
        "origin": ticket.origin,
        "custodian": ticket.custody.custodian,
        "state": tables["state"].write(ticket.platform_state),
        "channel": tables["channel"].write(ticket.channel),
        "type": tables["type"].write(ticket.type),
        "matter": mapping.write_catalogue("matter", ticket.matter),
        "urgency": tables["urgency"].write(ticket.urgency),
        "due_time": _time_text(ticket, "due_time"),
        "overdue": _flag_text(is_true=ticket.overdue),
        "parent": ticket.parent.removeprefix("tickets/"),
    }


def _named(mapping: Mapping, fields: AbstractMapping[str, str]) -> dict[str, str]:
    return {mapping.column(name): value for name, value in fields.items()}


def _time_text(
    message: ticket_pb2.Ticket
    | ticket_pb2.Assignment
    | ticket_pb2.TicketContent
    | ticket_pb2.TicketEvent,
    field: str,
) -> str:
    if not message.HasField(field):  # type: ignore[arg-type]  # the stubs list names one by one
        return ""
    stamp: Timestamp = getattr(message, field)
    return stamp.ToDatetime(UTC).astimezone(SHANGHAI).isoformat(timespec="seconds")


def _flag_text(*, is_true: bool) -> str:
    return "true" if is_true else "false"


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        for form in _TIME_FORMATS:
            try:
                moment = datetime.strptime(text, form)  # noqa: DTZ007 (the zone is added below)
                break
            except ValueError:
                continue
        else:
            return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=SHANGHAI)


def bad_rows(rows: Iterable[Row]) -> list[dict[str, str]]:
    """Return the raw cells of rows, as the platform wrote them."""
    return [dict(row.values) for row in rows]
