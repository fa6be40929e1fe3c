"""Opening a dossier: the case that its arbiter signed, and what signatures in it rest on.

Part of the verifier (docs/arbitration.md#dossier): steps 2 to 4.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from gateway.arbitration import exchange_codec
from gateway.arbitration.dossiers.model import (
    CASE_PAYLOAD_TYPE,
    CaseBroken,
    CaseCheck,
    CaseFlaw,
    CasePassed,
    Dossier,
    OwnCase,
)
from gateway.arbitration.model import Case, is_unit
from gateway.delivery.codec import checked_statement
from gateway.delivery.model import SignedBytes, Statement
from gateway.evidence.dossier import Broken, Check
from gateway.evidence.spoken import Keys, Spoken
from gateway.evidence.verdict import Text
from gateway.kernel.codes import CaseLevel
from gateway.kernel.errors import FieldInvalid, LubiaoError, SignatureInvalid
from gateway.kernel.ids import NATION
from gateway.kernel.time import Instant
from gateway.trust.roster import AuthorityEntry, Roster
from gateway.trust.statements import STATEMENT_PAYLOAD_TYPE, verify

FILE = "CaseFile"
UNREADABLE = Text("无法解析", "it does not parse")


@dataclass(slots=True)
class Told:
    """A dossier with the case in it, and with what of its custody was heard."""

    name: str
    dossier: Dossier
    case: Case
    content: bytes
    commitment: bytes
    signed_at: Instant
    heard: tuple[Spoken, ...] = field(default=())

    @property
    def is_arbiters(self) -> bool:
        """Tell whether the arbiter exported it: then nothing may be missing."""
        return self.dossier.authority == self.case.key.scope

    @property
    def is_of_units(self) -> bool:
        """Tell whether one authority rules about its own units: then no custody moves."""
        return self.case.level is CaseLevel.UNITS


class Listed:
    """The authorities and keys of some rosters; of several, the newest that lists one counts."""

    def __init__(self, rosters: tuple[Roster, ...]) -> None:
        """Take the rosters in any order."""
        self._rosters = sorted(rosters, key=lambda roster: -roster.version)
        self.keys = Keys(rosters)

    def authority(self, code: str) -> AuthorityEntry | None:
        """Return an authority as listed, or None."""
        found = (roster.authority(code) for roster in self._rosters)
        return next((entry for entry in found if entry is not None), None)

    def check_signed(
        self,
        authority: str,
        payload: bytes,
        signed: tuple[str, bytes],
        *,
        check: CaseCheck,
        where: str,
        payload_type: str = STATEMENT_PAYLOAD_TYPE,
        kind: str = "",
    ) -> None:
        """Return if a key of the authority signed these bytes, and may sign this kind.

        Raises:
            CaseBroken: it did not, or may not.
        """
        key_id, signature = signed
        try:
            public = self.keys.need(authority, key_id, check=Check.SIGNATURES, where=where)
            verify(public, payload, signature, payload_type=payload_type, signer=authority)
        except Broken as broken:
            flaw = broken.flaw
            raise broken_at(check, where, flaw.what, flaw.got, flaw.expected) from broken
        except SignatureInvalid as error:
            what = Text("签名不成立", "the signature does not hold")
            raise broken_at(check, where, what, key_id, f"{authority} {key_id}") from error
        entry = self.keys.find(authority, key_id)
        if kind and (entry is None or not entry.may_sign(kind)):
            what = Text("该密钥不得签署此类声明", "the key may not sign this kind")
            raise broken_at(check, where, what, kind, key_id)

    def check_valid(self, authority: str, key_id: str, at: Instant, *, where: str) -> None:
        """Return if a key was valid at an instant.

        Raises:
            CaseBroken: it was not.
        """
        try:
            self.keys.check_valid(authority, key_id, (at,), check=Check.KEYS, where=where)
        except Broken as broken:
            flaw = broken.flaw
            raise broken_at(CaseCheck.KEYS, where, flaw.what, flaw.got, flaw.expected) from broken


def broken_at(
    check: CaseCheck, where: str, what: Text, got: str = "", expected: str = ""
) -> CaseBroken:
    """Return the flaw that ends a verification."""
    return CaseBroken(CaseFlaw(check, where, what, got=got, expected=expected))


def open_case(name: str, dossier: Dossier, listed: Listed) -> Told:
    """Return a dossier with the case in it, once the arbiter's signature holds (step 2).

    Raises:
        CaseBroken: it does not, or it is another case.
    """
    told = dossier.told
    where = f"{name} {dossier.case_id}"
    if isinstance(told, OwnCase):
        read = _parsed(name, dossier, told.file, dossier.exported, where)
        listed.check_signed(
            read.case.key.scope,
            told.file,
            (told.key_id, told.signature),
            check=CaseCheck.CASE,
            where=where,
            payload_type=CASE_PAYLOAD_TYPE,
            kind="" if read.is_of_units else FILE,
        )
        _check_exporter(read, where)
        said: tuple[str, ...] = ()
        expected: tuple[str, ...] = ()
    else:
        statement = statement_of(told, check=CaseCheck.CASE, where=where)
        read = _parsed(name, dossier, statement.body, statement.issued, where)
        listed.check_signed(
            statement.issuer,
            told.statement,
            (told.key_id, told.signature),
            check=CaseCheck.CASE,
            where=where,
            kind=FILE,
        )
        case, key = read.case, read.case.key
        said = (statement.kind, statement.issuer, statement.scope, statement.ticket)
        said += (str(statement.chain), *statement.audience)
        expected = (FILE, key.scope, key.scope, case.ticket, str(case.chain), dossier.authority)
    if said != expected or read.case.key.case != dossier.case_id:
        what = Text("案卷不是其裁定机构所签的该案", "not this case, or not of its arbiter")
        raise broken_at(CaseCheck.CASE, where, what, " ".join(said), " ".join(expected))
    return read


def _check_exporter(told: Told, where: str) -> None:
    """Return if who sealed the file sees the case: of a party's file less is asked."""
    scope, exporter = told.case.key.scope, told.dossier.authority
    readers = tuple(dict.fromkeys((scope, *told.case.audience)))
    if exporter not in readers:
        what = Text("封印机构与本案无关", "who sealed the file is neither arbiter nor party")
        raise broken_at(CaseCheck.CASE, where, what, exporter, ", ".join(readers))


def statement_of(signed: SignedBytes, *, check: CaseCheck, where: str) -> Statement:
    """Return what was signed as a statement that keeps the limits.

    Raises:
        CaseBroken: it does not parse.
    """
    try:
        return checked_statement(signed.statement)
    except (DecodeError, LubiaoError, ValueError) as error:
        raise broken_at(check, where, UNREADABLE, _reason(error), "Statement") from error


def _parsed(name: str, dossier: Dossier, file: bytes, signed_at: Instant, where: str) -> Told:
    try:
        content, commitment = exchange_codec.case_file_of(file)
        case = exchange_codec.case_of_file(content)
    except (LubiaoError, ValueError) as error:
        raise broken_at(CaseCheck.CASE, where, UNREADABLE, _reason(error), "CaseFile") from error
    return Told(name, dossier, case, content, commitment, signed_at)


def check_keys(told: Told, listed: Listed) -> CasePassed:
    """Check that each key was valid when it signed, as far as the signer's clock tells (step 3)."""
    signed, scope = told.dossier.told, told.case.key.scope
    listed.check_valid(scope, signed.key_id, told.signed_at, where=f"{told.name} {scope}")
    for number, item in enumerate(told.dossier.entries, 1):
        where = f"{told.name} entry statement {number}"
        statement = statement_of(item, check=CaseCheck.KEYS, where=where)
        listed.check_valid(statement.issuer, item.key_id, statement.issued, where=where)
    seal = told.dossier.seal
    authority = told.dossier.authority
    listed.check_valid(authority, seal.key_id, told.dossier.exported, where=f"{told.name} seal")
    return CasePassed(CaseCheck.KEYS, len(told.dossier.entries) + 2)


def check_arbiter(told: Told, listed: Listed) -> CasePassed:
    """Check that the scope's authority may rule at this level (step 4)."""
    case, scope = told.case, told.case.key.scope
    entry = listed.authority(scope)
    is_sound = entry is not None
    if case.level is CaseLevel.PROVINCES:
        is_sound = is_sound and scope == NATION
    elif case.level is CaseLevel.AUTHORITIES:
        is_sound = entry is not None and entry.is_province
    else:
        is_sound = is_sound and told.is_arbiters and any(map(is_unit, case.parties))
    if not is_sound:
        what = Text("该机构不是此类争议的裁定机构", "the body is no arbiter of such a dispute")
        level = case.level.name
        raise broken_at(CaseCheck.ARBITER, f"{told.name} {case.name}", what, scope, level)
    strangers = [party for party in case.parties if is_unit(party) and not told.is_of_units]
    if strangers:
        what = Text("单位不得为机构间争议的当事方", "a unit is no party between authorities")
        raise broken_at(
            CaseCheck.ARBITER, f"{told.name} {case.name}", what, strangers[0], case.level.name
        )
    return CasePassed(CaseCheck.ARBITER, 1)


def _reason(error: Exception) -> str:
    if isinstance(error, FieldInvalid):
        return str(error.metadata["field"])
    return str(error.metadata.get("got", error.reason)) if isinstance(error, LubiaoError) else "-"
