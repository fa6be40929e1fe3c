"""Protobuf ↔ bodies of letters: acts of the citizen, questions to the citizen, and answers."""

from __future__ import annotations

from typing import Any, cast

from gateway.custody import bodies
from gateway.delivery.codec import digest_to_pb, instant_from_pb, instant_to_pb
from gateway.kernel.ids import AuthorityCode
from hotline.custody.v1 import custody_pb2 as pb
from hotline.ticket.v1 import codes_pb2 as codes_pb
from hotline.type.v1 import statement_pb2 as type_pb


def encode_act(body: bodies.CitizenAct) -> pb.CitizenAct:
    """Render a citizen's act."""
    return pb.CitizenAct(
        number=body.number,
        kind=cast("codes_pb.CitizenActKind.ValueType", body.act),
        act_time=instant_to_pb(body.act_time),
        commitments=_to_pb(body.commitments),
    )


def decode_act(message: pb.CitizenAct) -> bodies.CitizenAct:
    """Read a citizen's act."""
    return bodies.CitizenAct(
        number=message.number,
        act=message.kind,
        act_time=instant_from_pb(message.act_time),
        commitments=_from_pb(message.commitments),
    )


def encode_question(body: bodies.InformationRequest) -> pb.InformationRequest:
    """Render a question."""
    return pb.InformationRequest(
        number=body.number,
        asker=body.asker,
        ask_time=instant_to_pb(body.ask_time),
        commitments=_to_pb(body.commitments),
    )


def decode_question(message: pb.InformationRequest) -> bodies.InformationRequest:
    """Read a question."""
    return bodies.InformationRequest(
        number=message.number,
        asker=AuthorityCode(message.asker),
        ask_time=instant_from_pb(message.ask_time),
        commitments=_from_pb(message.commitments),
    )


def encode_answer(body: bodies.InformationAnswer) -> pb.InformationAnswer:
    """Render an answer."""
    return pb.InformationAnswer(
        number=body.number,
        asker=body.asker,
        answer_time=instant_to_pb(body.answer_time),
        commitments=_to_pb(body.commitments),
        ask_time=instant_to_pb(body.ask_time) if body.ask_time is not None else None,
    )


def decode_answer(message: pb.InformationAnswer) -> bodies.InformationAnswer:
    """Read an answer."""
    return bodies.InformationAnswer(
        number=message.number,
        asker=AuthorityCode(message.asker),
        answer_time=instant_from_pb(message.answer_time),
        commitments=_from_pb(message.commitments),
        ask_time=instant_from_pb(message.ask_time) if message.HasField("ask_time") else None,
    )


def block_to_bytes(text: str, rating: bytes = b"", *, question: str = "") -> bytes:
    """Serialise the plaintext of a letter; `rating` is a serialised Rating of the standard."""
    message = pb.LetterBlock(text=text, question=question)
    if rating:
        message.rating.ParseFromString(rating)
    return message.SerializeToString(deterministic=True)


def block_from_bytes(block: bytes) -> tuple[str, bytes]:
    """Return the text of a letter and its serialised rating, or nothing."""
    message = pb.LetterBlock.FromString(block)
    if not message.HasField("rating"):
        return message.text, b""
    return message.text, message.rating.SerializeToString(deterministic=True)


def question_from_bytes(block: bytes) -> str:
    """Return what an answer tells that was asked, or nothing."""
    return pb.LetterBlock.FromString(block).question


def encode_inquiry(body: bodies.Inquiry) -> pb.Inquiry:
    """Render a question about an offer."""
    return pb.Inquiry(
        number=body.number,
        offer_digest=digest_to_pb(body.offer_digest),
        ask_time=instant_to_pb(body.ask_time),
        commitments=_to_pb(body.commitments),
    )


def decode_inquiry(message: pb.Inquiry) -> bodies.Inquiry:
    """Read a question about an offer."""
    return bodies.Inquiry(
        number=message.number,
        offer_digest=message.offer_digest.value,
        ask_time=instant_from_pb(message.ask_time),
        commitments=_from_pb(message.commitments),
    )


def encode_inquiry_answer(body: bodies.InquiryAnswer) -> pb.InquiryAnswer:
    """Render the answer to a question about an offer."""
    return pb.InquiryAnswer(
        number=body.number,
        offer_digest=digest_to_pb(body.offer_digest),
        answer_time=instant_to_pb(body.answer_time),
        commitments=_to_pb(body.commitments),
    )


def decode_inquiry_answer(message: pb.InquiryAnswer) -> bodies.InquiryAnswer:
    """Read the answer to a question about an offer."""
    return bodies.InquiryAnswer(
        number=message.number,
        offer_digest=message.offer_digest.value,
        answer_time=instant_from_pb(message.answer_time),
        commitments=_from_pb(message.commitments),
    )


def inquiry_of(kind: str, raw: bytes) -> bodies.Inquiry | bodies.InquiryAnswer:
    """Read the body of a kept statement of either kind."""
    if kind == "Inquiry":
        return decode_inquiry(pb.Inquiry.FromString(raw))
    return decode_inquiry_answer(pb.InquiryAnswer.FromString(raw))


def inquiry_to_bytes(question: str, answer: str = "") -> bytes:
    """Serialise the plaintext of an `inquiry_block`."""
    message = pb.InquiryBlock(question=question, answer=answer)
    return message.SerializeToString(deterministic=True)


def inquiry_from_bytes(block: bytes) -> tuple[str, str]:
    """Return question and answer of an `inquiry_block`."""
    message = pb.InquiryBlock.FromString(block)
    return message.question, message.answer


def _to_pb(values: tuple[bodies.Commitment, ...]) -> list[type_pb.Commitment]:
    return [type_pb.Commitment(kind=item.kind, digest=digest_to_pb(item.digest)) for item in values]


def _from_pb(items: Any) -> tuple[bodies.Commitment, ...]:
    return tuple(bodies.Commitment(item.kind, item.digest.value) for item in items)
