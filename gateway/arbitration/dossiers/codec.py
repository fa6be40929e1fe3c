"""Case dossiers between bytes and values.

A file is the message without its seal, and then the seal alone: so the seal covers every byte
before it. Reading trusts nothing: the size is bounded, and only the one canonical form counts, so
nothing can hide in a field that nobody reads or in a longer number.
"""

from __future__ import annotations

import hashlib
from itertools import islice

from google.protobuf.message import DecodeError

from gateway.arbitration.dossiers.model import (
    DOSSIER_BYTES_MAX,
    DOSSIER_FORMAT,
    Dossier,
    DossierSeal,
    EntrySalt,
    OpenedWords,
    OwnCase,
)
from gateway.delivery.codec import instant_from_pb, instant_to_pb, signed_from_pb, signed_to_pb
from gateway.delivery.model import SignedBytes
from gateway.evidence.dossier_codec import top_fields
from gateway.kernel.errors import FieldInvalid, StatementMalformed, VersionTooNew
from gateway.kernel.ids import AuthorityCode
from gateway.kernel.time import Instant
from gateway.kernel.validation import validate
from hotline.arbitration.v1 import dossier_pb2 as pb
from hotline.type.v1 import statement_pb2 as type_pb

ABOUT = (
    "路标争议案卷 / Lubiao case dossier\n"
    "本文件是一条 protobuf 消息 hotline.arbitration.v1.CaseDossier（见 proto/ 与"
    " docs/arbitration.md），记载一件争议的案卷、各方签名陈述、裁定与承接。校验："
    "lubiao case verify FILE --roster ROSTER，无须网络与数据库。\n"
    "This file is one protobuf message, hotline.arbitration.v1.CaseDossier (see proto/ and"
    " docs/arbitration.md): a dispute about a ticket, what its parties signed, its rulings and who"
    " took the ticket. To check it, with neither network nor database: lubiao case verify FILE"
    " --roster ROSTER. Signatures are Ed25519 over the DSSE pre-authentication encoding of exact"
    " bytes; digests are SHA-256.\n"
)
PARTS_MAX = 256  # entries, rosters and what stands once
_CHECK = "dossier"


def head_bytes(
    *,
    authority: AuthorityCode,
    exported: Instant,
    case_id: str,
    rosters: tuple[bytes, ...],
    told: SignedBytes | OwnCase,
    entries: tuple[SignedBytes, ...],
    custody: bytes,
    words: OpenedWords | None,
) -> bytes:
    """Return a file without its seal."""
    message = pb.CaseDossier(
        about=ABOUT,
        format=DOSSIER_FORMAT,
        authority=authority,
        export_time=instant_to_pb(exported),
        subject=f"cases/{case_id}",
        rosters=rosters,
        entries=map(signed_to_pb, entries),
        custody=custody,
    )
    if isinstance(told, OwnCase):
        message.signed_case.file = told.file
        message.signed_case.signature.CopyFrom(_signature(told.key_id, told.signature))
    else:
        message.case_file.CopyFrom(signed_to_pb(told))
    if words is not None:
        message.words.salt, message.words.block = words.salt, words.block
        for item in words.entries:
            message.words.entries.add(statement=item.statement, salt=item.salt)
    return message.SerializeToString(deterministic=True)


def seal_bytes(digest: bytes, *, key_id: str, signature: bytes) -> bytes:
    """Return the end of a file."""
    seal = pb.DossierSeal(digest=digest, signature=_signature(key_id, signature))
    return pb.CaseDossier(seal=seal).SerializeToString(deterministic=True)


def read_dossier(raw: bytes) -> Dossier:
    """Return what a file claims.

    Raises:
        StatementMalformed: it is no case dossier, or larger than one may be.
        VersionTooNew: a newer version wrote it.
    """
    if len(raw) > DOSSIER_BYTES_MAX:
        raise _malformed(f"{len(raw)} bytes", f"at most {DOSSIER_BYTES_MAX}")
    parts = sum(1 for _ in islice(top_fields(memoryview(raw)), PARTS_MAX + 1))
    if parts > PARTS_MAX:  # before parsing: a small field makes a large object
        raise _malformed(f"{parts} parts", f"at most {PARTS_MAX}")
    message = pb.CaseDossier()
    try:
        message.ParseFromString(raw)
    except DecodeError as error:
        raise _malformed("bytes that do not parse", "the whole file: it may be cut off") from error
    if message.format > DOSSIER_FORMAT:
        raise VersionTooNew(kind="CaseDossier", got=message.format, expected=DOSSIER_FORMAT)
    seal = message.seal
    if not message.HasField("seal"):
        raise _malformed("no seal", "a seal at the end: the file is not whole")
    end = seal_bytes(seal.digest, key_id=seal.signature.key_id, signature=seal.signature.direct)
    try:
        validate(message)
    except FieldInvalid as error:
        raise _malformed(
            f"{error.metadata['field']}: {error.metadata['got']}", error.metadata["expected"]
        ) from error
    read_seal = DossierSeal(
        seal.digest,
        seal.signature.key_id,
        seal.signature.direct,
        hashlib.sha256(raw[: len(raw) - len(end)]).digest(),
    )
    message.ClearField("seal")
    message.DiscardUnknownFields()
    if message.SerializeToString(deterministic=True) + end != raw:
        raise _malformed("another form of the bytes", "a CaseDossier in its canonical form")
    return _dossier(message, read_seal)


def _dossier(message: pb.CaseDossier, seal: DossierSeal) -> Dossier:
    told: SignedBytes | OwnCase
    if message.WhichOneof("told") == "case_file":
        told = signed_from_pb(message.case_file)
    else:
        own = message.signed_case
        told = OwnCase(own.file, own.signature.key_id, own.signature.direct)
    return Dossier(
        authority=AuthorityCode(message.authority),
        exported=instant_from_pb(message.export_time),
        case_id=message.subject.removeprefix("cases/"),
        rosters=tuple(message.rosters),
        told=told,
        entries=tuple(signed_from_pb(item) for item in message.entries),
        custody=message.custody,
        words=_words(message.words) if message.HasField("words") else None,
        seal=seal,
    )


def _words(message: pb.OpenedWords) -> OpenedWords:
    salts = tuple(EntrySalt(item.statement, item.salt) for item in message.entries)
    return OpenedWords(message.salt, message.block, salts)


def _signature(key_id: str, signature: bytes) -> type_pb.Signature:
    return type_pb.Signature(key_id=key_id, direct=signature)


def _malformed(got: str, expected: str) -> StatementMalformed:
    return StatementMalformed(check=_CHECK, got=got, expected=expected)
