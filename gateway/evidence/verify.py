"""The offline verifier of evidence files: numbered steps, and the first thing that does not hold.

**Theory of operation.** It is given files and rosters and reads nothing else: no database, no
clock, no network. Each step rests on the ones before, so the first flaw ends the verification and
is named: which step, which statement or row, what was found and what was expected. What is lawful
but not finished (a ruling not yet taken, a tail not closed, a time stamp pending) is a remark. It
shares with the code that wrote the files only the standard's own arithmetic (signatures, records)
and the codecs; docs/evidence.md says what a verdict proves and what it does not.

Several files of one ticket, exported by different authorities, are verified together and must
agree on every hand-over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from gateway.evidence.dossier import Broken, Check, Evidence, Flaw, Passed, Term, Verdict
from gateway.evidence.dossier_codec import read_evidence
from gateway.evidence.reconcile import check_rows, check_sides
from gateway.evidence.sealed import (
    StampJudge,
    check_content,
    check_entries,
    check_paths,
    check_receipts,
    check_seals,
    check_stamps,
)
from gateway.evidence.spoken import Keys, check_keys, check_signatures
from gateway.evidence.terms import check_epochs, check_rulings, check_tails, check_taken, stories
from gateway.evidence.verdict import Text
from gateway.kernel.errors import LubiaoError
from gateway.trust.codec import roster_from_bytes, signed_roster_from_bytes
from gateway.trust.keys import PublicKey
from gateway.trust.roster import Roster
from gateway.trust.roster_file import verify_roster

FILES_MAX = 64  # more authorities than ever held one ticket


@dataclass(frozen=True, slots=True)
class NamedFile:
    """The bytes of a file and how the reader calls it."""

    name: str
    content: bytes


def verify_files(
    files: Sequence[NamedFile],
    rosters: Sequence[Roster] = (),
    *,
    roster_key: PublicKey | None = None,
    judge: StampJudge | None = None,
) -> Verdict:
    """Return the verdict on some files.

    Args:
        files: evidence files, of one authority or of several.
        rosters: the rosters that the reader trusts; none: those in the files.
        roster_key: the key that signs rosters; with it the rosters in the files are trusted too.
        judge: judges time stamps; None: they are not examined.
    """
    read: list[Evidence] = []
    found = list(rosters)
    if not 0 < len(files) <= FILES_MAX:
        what = Text("文件数目不符", "too many files, or none")
        return Verdict(
            (), Flaw(Check.FILE, "-", what, got=f"{len(files)}", expected=f"1..{FILES_MAX}")
        )
    for file in files:
        try:
            evidence = read_evidence(file.content)
            inside = _rosters_in(evidence, roster_key)
            if roster_key is not None or not rosters:
                found += inside
        except LubiaoError as error:
            return Verdict((), _unreadable(file.name, error))
        read.append(evidence)
    first = Passed(Check.FILE, len(read), _whose(found, rosters, roster_key))
    verdict = verify(read, found, judge=judge, first=first)
    return replace(verdict, is_anchored=bool(rosters) or roster_key is not None)


def verify(
    files: Sequence[Evidence],
    rosters: Sequence[Roster],
    *,
    judge: StampJudge | None = None,
    first: Passed | None = None,
) -> Verdict:
    """Return the verdict on evidence that was read, under rosters that the reader trusts."""
    passed = [first or Passed(Check.FILE, len(files))]
    terms: list[Term] = []
    try:
        passed.extend(_steps(files, Keys(rosters), judge, terms))
    except Broken as broken:
        return Verdict(tuple(passed), broken.flaw)
    terms.sort(key=lambda term: (str(term.chain), term.epoch))
    return Verdict(tuple(passed), None, tuple(terms))


def _steps(
    files: Sequence[Evidence], keys: Keys, judge: StampJudge | None, terms: list[Term]
) -> Iterator[Passed]:
    heard, signatures = check_signatures(files, keys)
    yield signatures
    yield check_keys(files, heard, keys)
    told, records = stories(heard, files)
    yield records
    rest: tuple[Callable[[], Passed], ...] = (
        lambda: check_rulings(told),
        lambda: check_taken(told),
        lambda: check_epochs(told),
        lambda: check_rows(files, heard, told),
        lambda: check_paths(files),
        lambda: check_entries(files, keys),
        lambda: check_tails(told, files),
        lambda: check_receipts(files, heard, keys),
        lambda: check_stamps(files, judge),
        lambda: check_content(files, heard),
        lambda: check_seals(files, keys),
        lambda: check_sides(files, told),
    )
    for step in rest:
        yield step()
    asked = {ticket.ticket for evidence in files for ticket in evidence.tickets}
    terms += [term for story in told for term in story.terms if term.chain.ticket in asked]


def _whose(
    found: Sequence[Roster], given: Sequence[Roster], key: PublicKey | None
) -> tuple[Text, ...]:
    """Say what a reader must know of the rosters, when they came with the files."""
    if given:
        return ()
    if key is None:
        versions = ", ".join(str(roster.version) for roster in found) or "-"
        return (
            Text(
                f"名册（第 {versions} 版）取自文件本身，请以 --roster 或 --key 核对",
                f"the rosters (version {versions}) come from the files themselves; check them with"
                " --roster or --key",
            ),
        )
    # Who chose the files chose the rosters: an old one lists what is revoked now.
    newest = max(found, key=lambda roster: roster.version, default=None)
    shown = f"{newest.version} ({newest.issued.date()})" if newest is not None else "-"
    return (
        Text(
            f"所用最新名册为文件所附第 {shown} 版，此后的吊销不得而知，请以 --roster 提供现行名册",
            f"the newest roster is version {shown}, which came with the files: keys that were"
            " revoked since are not known; give the present one with --roster",
        ),
    )


def _rosters_in(evidence: Evidence, key: PublicKey | None) -> list[Roster]:
    if key is None:
        return [roster_from_bytes(signed_roster_from_bytes(raw)[0]) for raw in evidence.rosters]
    return [verify_roster(raw, key, minimum_version=0, allow_demo=True) for raw in evidence.rosters]


def _unreadable(name: str, error: LubiaoError) -> Flaw:
    got, expected = error.metadata.get("got", error.reason), error.metadata.get("expected", "")
    what = Text("文件不是完整的保管证据", "the file is no whole evidence file")
    return Flaw(Check.FILE, name, what, got=got, expected=expected)
