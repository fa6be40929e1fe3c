"""Protobuf ↔ values of publishing: bodies of statements, resources of staff."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import DecodeError, Message

from gateway.checking.model import Finding
from gateway.delivery.codec import (
    checked_statement,
    instant_from_pb,
    instant_to_pb,
    signed_to_pb,
)
from gateway.delivery.model import SignedBytes, Statement
from gateway.kernel.codes import MisrouteReason, MisrouteResolution, PublicationKind
from gateway.kernel.errors import FieldInvalid, StatementMalformed
from gateway.kernel.time import Instant
from gateway.kernel.validation import validate
from gateway.publishing.model import Misroute, Publication, RuleCount, Version
from gateway.routing.codec import NAME_PREFIX, facts_to_pb
from hotline.routing.v1 import publication_pb2 as pb

PUBLICATION = "RulePackPublication"
SUMMARY = "PackSummary"
REPORT = "MisrouteReport"
ANSWER = "MisrouteAnswer"
BODY_CHECK = 7  # the inbox makes the checks 1 to 6
Body = TypeVar("Body", bound=Message)


def publication_to_bytes(publication: Publication) -> bytes:
    """Serialise a publication once, before it is signed; it keeps the limits of its schema."""
    message = pb.RulePackPublication(
        pack=NAME_PREFIX + publication.pack,
        version=publication.version,
        owner=publication.owner,
        kind=pb.PublicationKind.ValueType(publication.kind),
        sequence=publication.sequence,
        editor=publication.editor,
        approver=publication.approver,
        publisher=publication.publisher,
        effective_time=instant_to_pb(publication.effective),
        previous_version=publication.previous,
        expire_time=instant_to_pb(publication.expires),
    )
    return _serialised(message)


def publication_from_bytes(body: bytes) -> Publication:
    """Return the publication of a statement's body.

    Raises:
        StatementMalformed: it does not parse or breaks its limits.
    """
    message = parsed(body, pb.RulePackPublication())
    return Publication(
        pack=message.pack.removeprefix(NAME_PREFIX),
        version=message.version,
        owner=message.owner,
        kind=PublicationKind(message.kind),
        sequence=message.sequence,
        editor=message.editor,
        approver=message.approver,
        publisher=message.publisher,
        effective=instant_from_pb(message.effective_time),
        previous=message.previous_version,
        expires=instant_from_pb(message.expire_time),
    )


def statement_of(signed: SignedBytes) -> Statement:
    """Return the statement of bytes whose signature was verified.

    Raises:
        StatementMalformed: it does not parse or breaks its limits.
    """
    try:
        return checked_statement(signed.statement)
    except (DecodeError, FieldInvalid) as error:
        raise StatementMalformed(check=4, got="bytes", expected="a Statement") from error


def report_to_bytes(misroute: Misroute) -> bytes:
    """Serialise a report once, before it is signed."""
    message = pb.MisrouteReport(
        misroute=misroute.misroute,
        reason=pb.MisrouteReason.ValueType(misroute.reason),
        pack=misroute.pack_label,
        rule=misroute.rule,
        ticket=misroute.ticket,
        proposed_target=misroute.proposed_target,
        occurrences=misroute.occurrences,
        report_time=instant_to_pb(misroute.reported),
    )
    return _serialised(message)


def answer_to_bytes(misroute: Misroute, *, answered: Instant) -> bytes:
    """Serialise an answer once, before it is signed."""
    message = pb.MisrouteAnswer(
        misroute=misroute.misroute,
        resolution=pb.MisrouteResolution.ValueType(misroute.resolution),
        version=misroute.resolution_version,
        answer_time=instant_to_pb(answered),
    )
    return _serialised(message)


def reason_of(message: pb.MisrouteReport) -> MisrouteReason:
    """Return the reason of a valid report; one of a newer version counts as another one."""
    known = MisrouteReason._value2member_map_
    return MisrouteReason(message.reason) if message.reason in known else MisrouteReason.OTHER


def resolution_of(message: pb.MisrouteAnswer) -> MisrouteResolution:
    """Return the resolution of a valid answer."""
    known = MisrouteResolution._value2member_map_
    number = message.resolution
    return MisrouteResolution(number) if number in known else MisrouteResolution.OTHER


def parsed(body: bytes, message: Body) -> Body:
    """Return a body in its message, within the limits of its schema.

    Raises:
        StatementMalformed: it does not parse or breaks its limits.
    """
    name = message.DESCRIPTOR.name
    try:
        message.ParseFromString(body)
        validate(message)
    except DecodeError as error:
        raise StatementMalformed(check=BODY_CHECK, got="bytes", expected=f"a {name}") from error
    except FieldInvalid as error:
        raise StatementMalformed(
            check=BODY_CHECK,
            got=f"{error.metadata['field']}: {error.metadata['got']}",
            expected=error.metadata["expected"],
        ) from error
    return message


def version_to_pb(version: Version, signed: SignedBytes | None = None) -> pb.RulePackVersion:
    """Return the message of a version, with what was signed about it last."""
    return pb.RulePackVersion(
        name=version.name,
        state=pb.RulePackState.ValueType(version.state),
        owner=version.owner,
        title=version.title,
        rule_count=version.rule_count,
        editor=version.editor,
        approver=version.approver,
        create_time=instant_to_pb(version.created),
        update_time=instant_to_pb(version.changed),
        effective_time=instant_to_pb(version.effective) if version.effective else None,
        reason=version.reason,
        founding=version.founding,
        finding_count=version.finding_count,
        publication=signed_to_pb(signed) if signed is not None else None,
        etag=version.etag,
    )


def findings_to_pb(findings: Iterable[Finding]) -> list[pb.RuleFinding]:
    """Return the messages of findings, each with the ticket that shows it."""
    return [
        pb.RuleFinding(
            code=finding.word,
            line=finding.line,
            lines=finding.lines,
            problem=finding.problem,
            advice=finding.advice,
            error=finding.is_error,
            witness=_witness(finding),
        )
        for finding in findings
    ]


def misroute_to_pb(misroute: Misroute, *, now: Instant) -> pb.Misroute:
    """Return the message of a report as its side sees it now."""
    return pb.Misroute(
        name=misroute.name,
        state=pb.MisrouteState.ValueType(misroute.state),
        reason=pb.MisrouteReason.ValueType(misroute.reason),
        pack=misroute.pack_label,
        rule=misroute.rule,
        ticket=f"tickets/{misroute.ticket}" if misroute.ticket else "",
        reporter=misroute.reporter,
        owner=misroute.owner,
        proposed_target=misroute.proposed_target,
        occurrences=misroute.occurrences,
        report_time=instant_to_pb(misroute.reported),
        due_time=instant_to_pb(misroute.due),
        overdue=misroute.is_overdue(now),
        resolution=pb.MisrouteResolution.ValueType(misroute.resolution),
        resolution_version=misroute.resolution_version,
        answer_time=instant_to_pb(misroute.answered) if misroute.answered else None,
        answerer=misroute.answerer,
    )


def counts_to_pb(counts: Sequence[RuleCount]) -> list[pb.MisrouteCount]:
    """Return the messages of the counts of rules."""
    return [
        pb.MisrouteCount(
            pack=count.pack,
            rule=count.rule,
            reported=count.reported,
            open=count.open,
            overdue=count.overdue,
            rule_changed=count.rule_changed,
        )
        for count in counts
    ]


def _witness(finding: Finding) -> str:
    witness = finding.witness
    if witness is None:
        return ""
    facts = MessageToJson(facts_to_pb(witness.facts), preserving_proto_field_name=True, indent=None)
    return str(facts)


def _serialised(message: Message) -> bytes:
    validate(message)
    return bytes(message.SerializeToString(deterministic=True))
