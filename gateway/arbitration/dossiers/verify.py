"""The offline verifier of case dossiers: numbered steps, and the first thing that does not hold.

**Theory of operation.** It is given files and rosters and reads nothing else. Each step rests on
the ones before, so the first flaw ends the verification and is named. The custody of the ticket in
a dossier is an evidence file of its own and is verified by the sixteen steps of evidence; here the
case is held against it: every ruling of the case is a signed statement of the arbiter within its
mandate, every one that was taken has the target's TAKEN, and every position and objection is signed
by its party. A party's file has the arbiter's word for what others said; that is a remark.

Between units of one authority there is one signature, the authority's own: it rules itself, and no
custody moves. Several files of one case must have the same bytes at the same revision (I4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from google.protobuf.message import DecodeError

from gateway.arbitration import exchange_codec
from gateway.arbitration.dossiers.codec import read_dossier
from gateway.arbitration.dossiers.course import check_course
from gateway.arbitration.dossiers.model import (
    DOSSIER_PAYLOAD_TYPE,
    DOSSIERS_MAX,
    CaseBroken,
    CaseCheck,
    CaseFlaw,
    CasePassed,
    CaseVerdict,
    Dossier,
    Ruled,
)
from gateway.arbitration.dossiers.rulings import check_rulings, check_taken, check_term
from gateway.arbitration.dossiers.told import (
    UNREADABLE,
    Listed,
    Told,
    broken_at,
    check_arbiter,
    check_keys,
    open_case,
    statement_of,
)
from gateway.arbitration.model import Case, CaseKey, Entry, is_unit
from gateway.delivery.model import SignedBytes
from gateway.evidence.dossier_codec import read_evidence
from gateway.evidence.spoken import check_signatures
from gateway.evidence.verdict import Text
from gateway.evidence.verify import NamedFile, verify
from gateway.kernel.codes import CaseEntryKind
from gateway.kernel.errors import LubiaoError
from gateway.trust.codec import roster_from_bytes, signed_roster_from_bytes
from gateway.trust.commitments import is_committed
from gateway.trust.keys import PublicKey
from gateway.trust.roster import Roster
from gateway.trust.roster_file import verify_roster
from gateway.trust.statements import digest

KINDS = {CaseEntryKind.POSITION: "Position", CaseEntryKind.OBJECTION: "Objection"}


def verify_dossiers(
    files: Sequence[NamedFile],
    rosters: Sequence[Roster] = (),
    *,
    roster_key: PublicKey | None = None,
) -> CaseVerdict:
    """Return the verdict on some dossiers.

    Args:
        files: dossiers of one case or of several, by one authority or by several.
        rosters: the rosters that the reader trusts; none: those in the files.
        roster_key: the key that signs rosters; with it the rosters in the files are trusted too.
    """
    is_anchored = bool(rosters) or roster_key is not None
    if not 0 < len(files) <= DOSSIERS_MAX:
        what = Text("文件数目不符", "too many files, or none")
        flaw = CaseFlaw(
            CaseCheck.FILE, "-", what, got=f"{len(files)}", expected=f"1..{DOSSIERS_MAX}"
        )
        return CaseVerdict((), flaw, is_anchored=is_anchored)
    passed: list[CasePassed] = []
    try:
        read, found = _read(files, rosters, roster_key)
        own = () if is_anchored else (_not_anchored(found),)
        passed.append(CasePassed(CaseCheck.FILE, len(read), own))
        told = list(_steps(read, Listed(tuple(found)), tuple(found), passed))
    except CaseBroken as broken:
        return CaseVerdict(tuple(passed), broken.flaw, is_anchored=is_anchored)
    return CaseVerdict(tuple(passed), None, _ruled(told), is_anchored=is_anchored)


def _read(
    files: Sequence[NamedFile], rosters: Sequence[Roster], roster_key: PublicKey | None
) -> tuple[list[tuple[str, Dossier]], list[Roster]]:
    read: list[tuple[str, Dossier]] = []
    found = list(rosters)
    for file in files:
        try:
            dossier = read_dossier(file.content)
            if roster_key is not None or not rosters:
                found += _rosters_in(dossier, roster_key)
        except (DecodeError, LubiaoError, ValueError) as error:
            got = error.metadata.get("got", error.reason) if isinstance(error, LubiaoError) else "-"
            what = Text(
                "不是完整的争议案卷，请重新导出（lubiao case export）",
                "no whole case dossier: export it again (lubiao case export)",
            )
            raise broken_at(CaseCheck.FILE, file.name, what, str(got), "CaseDossier") from error
        read.append((file.name, dossier))
    return read, found


def _steps(
    read: Sequence[tuple[str, Dossier]],
    listed: Listed,
    rosters: tuple[Roster, ...],
    passed: list[CasePassed],
) -> Iterator[Told]:
    told = [open_case(name, dossier, listed) for name, dossier in read]
    passed.append(CasePassed(CaseCheck.CASE, len(told)))
    steps: tuple[Callable[[Told], CasePassed], ...] = (
        lambda item: check_keys(item, listed),
        lambda item: check_arbiter(item, listed),
        lambda item: check_course(item.case, where=f"{item.name} {item.case.name}"),
        lambda item: _check_entries(item, listed),
        lambda item: _check_custody(item, rosters),
        check_rulings,
        lambda item: check_term(item, listed),
        check_taken,
        _check_words,
        lambda item: _check_seal(item, listed),
    )
    for step in steps:
        results = [step(item) for item in told]
        passed.append(
            CasePassed(
                results[0].check,
                sum(result.examined for result in results),
                tuple(remark for result in results for remark in result.remarks),
            )
        )
    passed.append(_check_sides(told))
    yield from told


# --- step 6: what parties signed ----------------------------------------------------------------


def _check_entries(told: Told, listed: Listed) -> CasePassed:
    """Check that each position and objection is signed by its party, and says what is recorded."""
    remarks: list[Text] = []
    waiting = [
        entry for entry in told.case.entries if entry.kind in KINDS and not is_unit(entry.party)
    ]
    for number, signed in enumerate(told.dossier.entries, 1):
        where = f"{told.name} entry statement {number}"
        party, said = _said(told, signed, listed, where)
        found = next((entry for entry in waiting if _heard(entry) == (party, *said)), None)
        if found is not None:
            waiting.remove(found)
        elif told.is_arbiters:
            what = Text("已签陈述不在案卷之中", "what a party signed is not in the case")
            raise broken_at(CaseCheck.ENTRIES, where, what, f"{party} {said[0]}", "-")
        else:
            remarks.append(
                Text(
                    f"{party} 的一份陈述未被裁定机构采录",
                    f"a statement of {party} was not put on record by the arbiter",
                )
            )
    for entry in waiting:
        where = f"{told.name} entry {entry.number}"
        if told.is_arbiters:
            what = Text("陈述未由该方签名", "it is not signed by its party")
            raise broken_at(
                CaseCheck.ENTRIES, where, what, "-", f"{KINDS[entry.kind]} {entry.party}"
            )
        remarks.append(
            Text(
                f"第 {entry.number} 条记录（{entry.party}）的声明不在本方文件中",
                f"the statement of entry {entry.number} ({entry.party}) is not in this file",
            )
        )
    return CasePassed(CaseCheck.ENTRIES, len(told.dossier.entries), tuple(remarks))


def _said(
    told: Told, signed: SignedBytes, listed: Listed, where: str
) -> tuple[str, tuple[object, ...]]:
    check, case = CaseCheck.ENTRIES, told.case
    statement = statement_of(signed, check=check, where=where)
    kinds = {name: kind for kind, name in KINDS.items()}
    kind = kinds.get(statement.kind)
    place = (statement.ticket, statement.scope, statement.chain, statement.audience)
    expected = (case.ticket, case.key.scope, case.chain, (case.key.scope,))
    if kind is None or place != expected:
        what = Text("声明不属于本案", "a statement of another case")
        raise broken_at(check, where, what, f"{statement.kind} {statement.ticket}", case.ticket)
    listed.check_signed(
        statement.issuer,
        signed.statement,
        (signed.key_id, signed.signature),
        check=check,
        where=where,
        kind=statement.kind,
    )
    try:
        said, _ = exchange_codec.party_entry_of(statement.body, kind)
    except LubiaoError as error:
        raise broken_at(check, where, UNREADABLE, error.reason, statement.kind) from error
    if said.case != case.key.case:
        what = Text("声明不属于本案", "a statement of another case")
        raise broken_at(check, where, what, said.case, case.key.case)
    return statement.issuer, (
        statement.kind,
        said.author,
        said.proposed,
        said.legal_basis,
        said.evidence,
    )


def _heard(entry: Entry) -> tuple[object, ...]:
    kind = KINDS[entry.kind]
    return (
        entry.party,
        kind,
        entry.author,
        entry.proposed,
        entry.legal_basis,
        tuple(entry.evidence),
    )


# --- step 7: the custody of the ticket ----------------------------------------------------------


def _check_custody(told: Told, rosters: tuple[Roster, ...]) -> CasePassed:
    """Check the evidence of the ticket's custody by its own steps, and keep what was said there."""
    where, dossier = f"{told.name} custody", told.dossier
    if not dossier.custody:
        if not told.is_of_units and told.is_arbiters:
            what = Text("缺少保管证据", "the evidence of custody is missing")
            raise broken_at(CaseCheck.CUSTODY, where, what, "-", f"tickets/{told.case.ticket}")
        remark = Text("文件不含保管证据", "the file has no evidence of custody")
        return CasePassed(CaseCheck.CUSTODY, 0, (remark,))
    try:
        evidence = read_evidence(dossier.custody)
    except LubiaoError as error:
        got = str(error.metadata.get("got", error.reason))
        raise broken_at(CaseCheck.CUSTODY, where, UNREADABLE, got, "EvidenceFile") from error
    said = (evidence.authority, evidence.subject)
    expected = (dossier.authority, f"tickets/{told.case.ticket}")
    if said != expected:
        what = Text("保管证据属于另一工单或机构", "evidence of another ticket or authority")
        raise broken_at(CaseCheck.CUSTODY, where, what, " ".join(said), " ".join(expected))
    verdict = verify([evidence], rosters)
    if verdict.flaw is not None:
        flaw = verdict.flaw
        raise broken_at(
            CaseCheck.CUSTODY,
            f"{where}, {flaw.check.value} {flaw.check.name}: {flaw.where}",
            flaw.what,
            flaw.got,
            flaw.expected,
        )
    heard, _ = check_signatures([evidence], Listed(rosters).keys)
    told.heard = tuple(heard.every.values())
    remarks = tuple(remark for step in verdict.passed for remark in step.remarks)
    return CasePassed(CaseCheck.CUSTODY, len(told.heard), remarks)


# --- steps 11 to 13 -----------------------------------------------------------------------------


def _check_words(told: Told) -> CasePassed:
    """Check that opened words are what was promised; without them there is nothing to check."""
    words = told.dossier.words
    if words is None:
        remark = Text("不含内容，只有承诺", "without words: only the commitment to them")
        return CasePassed(CaseCheck.WORDS, 0, (remark,))
    if not is_committed(block=words.block, salt=words.salt, commitment=told.commitment):
        what = Text("内容与承诺不符", "the words are not those that were promised")
        raise broken_at(CaseCheck.WORDS, f"{told.name} words", what, "-", told.commitment.hex())
    salts = {item.statement: item.salt for item in words.entries}
    opened = exchange_codec.with_words(told.case, words.block)
    examined, bare = 1, 0
    for number, signed in enumerate(told.dossier.entries, 1):
        salt = salts.get(digest(signed.statement))
        if salt is None:
            bare += 1
            continue
        where = f"{told.name} entry statement {number}"
        if _has_party_words(opened, signed, salt, where=where):
            examined += 1
        else:
            bare += 1
    remark = Text(
        f"{bare} 份陈述的内容无法与其签名核对",
        f"the words of {bare} statements cannot be held against what their parties signed",
    )
    return CasePassed(CaseCheck.WORDS, examined, (remark,) if bare else ())


def _has_party_words(opened: Case, signed: SignedBytes, salt: bytes, *, where: str) -> bool:
    """Tell whether the case has a party's words as it signed them; False: they are left out.

    Raises:
        CaseBroken: it has others.
    """
    statement = statement_of(signed, check=CaseCheck.WORDS, where=where)
    kinds = {name: kind for kind, name in KINDS.items()}
    _, commitment = exchange_codec.party_entry_of(statement.body, kinds[statement.kind])
    said = [
        entry
        for entry in opened.entries
        if (entry.party, KINDS.get(entry.kind)) == (statement.issuer, statement.kind)
    ]
    blocks = [exchange_codec.entry_words_to_bytes(entry) for entry in said]
    if any(is_committed(block=block, salt=salt, commitment=commitment) for block in blocks):
        return True
    if all(entry.words for entry in said):
        what = Text("陈述内容与该方签名不符", "the words are not those that the party signed")
        raise broken_at(CaseCheck.WORDS, where, what, statement.issuer, commitment.hex())
    return False


def _check_seal(told: Told, listed: Listed) -> CasePassed:
    """Check that the file is, byte for byte, what its authority sealed."""
    seal, authority = told.dossier.seal, told.dossier.authority
    where = f"{told.name} {authority}"
    if seal.digest != seal.covered:
        what = Text("文件字节与封印不符", "the file's bytes are not those that were sealed")
        raise broken_at(CaseCheck.SEAL, where, what, seal.covered.hex(), seal.digest.hex())
    listed.check_signed(
        authority,
        seal.digest,
        (seal.key_id, seal.signature),
        check=CaseCheck.SEAL,
        where=where,
        payload_type=DOSSIER_PAYLOAD_TYPE,
    )
    return CasePassed(CaseCheck.SEAL, 1)


def _check_sides(told: Sequence[Told]) -> CasePassed:
    """Check that several files of one case have the same bytes at the same revision (I4)."""
    known: dict[tuple[CaseKey, int], Told] = {}
    newest: dict[CaseKey, int] = {}
    for item in told:
        place = (item.case.key, item.case.revision)
        first = known.setdefault(place, item)
        newest[item.case.key] = max(newest.get(item.case.key, 0), item.case.revision)
        if first.content != item.content:
            what = Text("同一版本的案卷各方不一致", "two sides have other bytes at one revision")
            where = f"{first.name}, {item.name} {item.case.name}"
            raise broken_at(CaseCheck.SIDES, where, what, item.case.etag, first.case.etag)
    older = [item for item in told if item.case.revision < newest[item.case.key]]
    remarks = tuple(
        Text(
            f"{item.name}：案卷为较早版本 {item.case.etag}",
            f"{item.name}: an earlier revision of the case, {item.case.etag}",
        )
        for item in older
    )
    return CasePassed(CaseCheck.SIDES, len(told), remarks)


# --- parts --------------------------------------------------------------------------------------


def _rosters_in(dossier: Dossier, key: PublicKey | None) -> list[Roster]:
    if key is None:
        return [roster_from_bytes(signed_roster_from_bytes(raw)[0]) for raw in dossier.rosters]
    return [verify_roster(raw, key, minimum_version=0, allow_demo=True) for raw in dossier.rosters]


def _not_anchored(found: Sequence[Roster]) -> Text:
    versions = ", ".join(str(roster.version) for roster in found) or "-"
    return Text(
        f"名册（第 {versions} 版）取自文件本身，请以 --roster 或 --key 核对",
        f"the rosters (version {versions}) come from the files themselves; check them with"
        " --roster or --key",
    )


def _ruled(told: Sequence[Told]) -> tuple[Ruled, ...]:
    found = {
        (item.case.key.case, ruling.number): Ruled(
            case_id=item.case.key.case,
            number=ruling.number,
            kind=ruling.kind.name,
            target=ruling.target,
            issued=ruling.issued,
            taken=ruling.taken,
        )
        for item in sorted(told, key=lambda item: item.case.revision)
        for ruling in item.case.rulings
    }
    return tuple(found[place] for place in sorted(found))
