"""The rulings of a case against the custody of its ticket: steps 8 to 10 of the verifier.

A ruling between authorities is a signed statement of the scope's arbiter, and it was taken when the
target said so, signed. The case only tells of both. Between units the authority's own signature
over the case is the ruling, and there is nothing to hold it against.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.arbitration.dossiers.model import CaseCheck, CasePassed
from gateway.arbitration.dossiers.told import Listed, Told, broken_at
from gateway.arbitration.model import CaseRuling, Part
from gateway.custody import bodies
from gateway.evidence.spoken import Spoken
from gateway.evidence.verdict import Text
from gateway.kernel.codes import CaseRulingForm, RulingKind
from gateway.kernel.ids import AuthorityCode


def check_rulings(told: Told) -> CasePassed:
    """Check that the case has the rulings that were signed, and no others (step 8)."""
    remarks: list[Text] = []
    if told.is_of_units:
        return CasePassed(CaseCheck.RULINGS, len(told.case.rulings))
    signed = _signed(told)
    for ruling in told.case.rulings:
        spoken = signed.get(ruling.number)
        where = f"{told.name} ruling {ruling.number}"
        if spoken is None:
            what = Text("缺少裁定声明", "the signed ruling is missing")
            if told.is_arbiters:
                raise broken_at(CaseCheck.RULINGS, where, what, "-", f"Ruling {ruling.number}")
            remarks.append(_only_told("裁定", "ruling", ruling.number))
        else:
            _check_same(ruling, spoken, where)
    newest = max((ruling.number for ruling in told.case.rulings), default=0)
    for number in sorted(signed.keys() - {ruling.number for ruling in told.case.rulings}):
        if told.is_arbiters or number < newest:
            what = Text("案卷缺少已签署的裁定", "the case lacks a ruling that was signed")
            where = f"{told.name} ruling {number}"
            raise broken_at(CaseCheck.RULINGS, where, what, "-", str(signed[number]))
        remarks.append(
            Text(f"第 {number} 号裁定晚于本案卷", f"ruling {number} is younger than this case file")
        )
    return CasePassed(CaseCheck.RULINGS, len(told.case.rulings), tuple(remarks))


def check_term(told: Told, listed: Listed) -> CasePassed:
    """Check that each ruling was signed within the arbiter's mandate (step 9)."""
    signed = () if told.is_of_units else tuple(_signed(told).values())
    for spoken in signed:
        if isinstance(spoken.body, bodies.Ruling) and spoken.body.kind is RulingKind.HOME:
            continue  # it decides nothing, and needs no mandate
        entry = listed.authority(spoken.statement.issuer)
        if entry is None or not entry.has_mandate_at(spoken.statement.issued):
            begin = entry.mandate_from if entry is not None else None
            end = entry.mandate_to if entry is not None else None
            what = Text("裁定不在裁定机构任期之内", "the ruling is outside the arbiter's term")
            raise broken_at(
                CaseCheck.TERM,
                f"{told.name} {spoken}",
                what,
                spoken.statement.issued.isoformat(),
                f"{begin.isoformat() if begin else '-'}..{end.isoformat() if end else ''}",
            )
    return CasePassed(CaseCheck.TERM, len(signed))


def check_taken(told: Told) -> CasePassed:
    """Check that each ruling that the case calls taken was taken by its target (step 10)."""
    remarks: list[Text] = []
    if told.is_of_units:
        return CasePassed(CaseCheck.TAKEN, 0)
    signed = _signed(told)
    taken = {
        (body.number, spoken.statement.issuer, body.ruling_digest)
        for spoken in _of_chain(told)
        if isinstance(body := spoken.body, bodies.RulingAck) and body.role is bodies.Role.TAKEN
    }
    for ruling in told.case.rulings:
        if ruling.taken is None:
            continue
        spoken = signed.get(ruling.number)
        target = _at_home(ruling, told.case.key.scope)[0]
        if spoken is not None and (ruling.number, target, spoken.digest) in taken:
            continue
        if told.is_arbiters:
            what = Text("缺少承接声明", "the TAKEN of the target is missing")
            where = f"{told.name} ruling {ruling.number}"
            raise broken_at(CaseCheck.TAKEN, where, what, "-", f"RulingAck {target}")
        remarks.append(_only_told("承接", "TAKEN of ruling", ruling.number))
    return CasePassed(CaseCheck.TAKEN, len(taken), tuple(remarks))


def _signed(told: Told) -> Mapping[int, Spoken]:
    """Return the signed rulings of this case by number."""
    return {
        body.number: spoken
        for spoken in _of_chain(told)
        if isinstance(body := spoken.body, bodies.Ruling) and body.case == told.case.key.case
    }


def _of_chain(told: Told) -> list[Spoken]:
    case = told.case
    place = (case.ticket, case.key.scope, case.chain)
    return [
        spoken
        for spoken in told.heard
        if (spoken.statement.ticket, spoken.statement.scope, spoken.statement.chain) == place
    ]


def _check_same(ruling: CaseRuling, spoken: Spoken, where: str) -> None:
    body = spoken.body
    if not isinstance(body, bodies.Ruling):
        return
    told = _as_signed(ruling, spoken.statement.scope)
    said = (
        body.target,
        body.kind.name,
        body.offers_allowed,
        body.legal_basis,
        body.form,
        body.parts,
        body.merge_into,
        body.mandates,
    )
    if told != said or spoken.statement.issuer != spoken.statement.scope:
        what = Text("案卷所记裁定与声明不符", "the case tells another ruling than was signed")
        raise broken_at(
            CaseCheck.RULINGS, where, what, " ".join(map(str, told)), " ".join(map(str, said))
        )


def _as_signed(ruling: CaseRuling, scope: AuthorityCode) -> tuple[object, ...]:
    """Return what the arbiter signs for a ruling of a case (custodians.py)."""
    target, kind, offers_allowed, parts = _at_home(ruling, scope)
    rest = (ruling.legal_basis, int(ruling.form), parts, ruling.merge_into, ruling.mandates)
    return (target, kind.name, offers_allowed, *rest)


def _at_home(
    ruling: CaseRuling, scope: AuthorityCode
) -> tuple[str, RulingKind, bool, tuple[Part, ...]]:
    if ruling.form is CaseRulingForm.REFER_OUT:  # home first, and out from there
        return scope, RulingKind.HOME, True, (Part(ruling.target),)
    return ruling.target, ruling.kind, ruling.offers_allowed, ruling.parts


def _only_told(chinese: str, english: str, number: int) -> Text:
    return Text(
        f"第 {number} 号{chinese}声明不在本方文件中，仅有裁定机构所签案卷",
        f"{english} {number} is not in this party's file: only the arbiter's signed case tells it",
    )
