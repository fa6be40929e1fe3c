"""Verdicts on files, checked without any node: what `custody verify` and `case verify` share.

Files and the reader's own roster or key come in; the verdict goes to standard output, step by step
with the first flaw, or as JSON. Exit codes: 0 everything holds, 1 something does not, 2 usage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.files import read_bounded, require_file
from gateway.cli.output import Exit, harmless, pick, print_json, print_line
from gateway.directory.store import RosterFile
from gateway.evidence.verdict import FlawOf, Step, Text, VerdictOf
from gateway.evidence.verify import NamedFile
from gateway.kernel.errors import FieldInvalid
from gateway.trust.codec import roster_from_bytes, signed_roster_from_bytes
from gateway.trust.key_files import load_public_key
from gateway.trust.keys import PublicKey, Purpose
from gateway.trust.roster import Roster
from gateway.trust.roster_file import verify_roster

TrustedRoster = Annotated[
    Path | None, typer.Option("--roster", help="所信任的名册 / signed roster that you trust")
]
RosterKey = Annotated[
    Path | None, typer.Option("--key", help="名册公钥 / public key that signs rosters")
]


@dataclass(frozen=True, slots=True)
class Anchor:
    """What the reader trusts: not what came with the files."""

    rosters: tuple[Roster, ...] = ()
    key: PublicKey | None = None

    @classmethod
    def of(cls, roster: Path | None, key: Path | None) -> Anchor:
        """Return the anchor of a command's options.

        Raises:
            ResourceNotFound: there is no such file.
            FieldInvalid: one is a folder.
            SignatureInvalid: the key did not sign the roster.
        """
        for path, option in ((roster, "--roster"), (key, "--key")):
            if path is not None:
                require_file(path, field=option)
        public = load_public_key(key, Purpose.STATEMENT) if key is not None else None
        return cls((_trusted(roster, public),) if roster is not None else (), public)


def _trusted(path: Path, key: PublicKey | None) -> Roster:
    signed = RosterFile(path).read() or b""
    if key is not None:
        return verify_roster(signed, key, minimum_version=0, allow_demo=True)
    return roster_from_bytes(signed_roster_from_bytes(signed)[0])


def read_files(paths: Sequence[Path], *, files_max: int, bytes_max: int) -> list[NamedFile]:
    """Return the files of a command's arguments.

    Raises:
        FieldInvalid: there are too many, or one is a folder.
        ResourceNotFound: one is not there.
    """
    if len(paths) > files_max:
        expected = pick(f"至多 {files_max} 个文件", f"at most {files_max} files")
        raise FieldInvalid(field="FILE", got=len(paths), expected=expected)
    return [NamedFile(str(path), read_bounded(path, bytes_max)) for path in paths]


def print_verdict(
    verdict: VerdictOf[Step],
    steps: Mapping[Step, Text],
    *,
    found: Mapping[str, object],
    show_found: Callable[[], None],
    as_json: bool,
) -> None:
    """Print a verdict and end the command.

    What was established is `found` in JSON; `show_found` prints it for people, if all holds.

    Raises:
        typer.Exit: it does not hold.
    """
    if as_json:
        print_json(_as_dict(verdict) | dict(found))
    else:
        _show(verdict, steps, show_found)
    if not verdict.holds:
        raise typer.Exit(Exit.NO)


def _show(
    verdict: VerdictOf[Step], steps: Mapping[Step, Text], show_found: Callable[[], None]
) -> None:
    for passed in verdict.passed:
        print_line(f"{passed.check.value:>2}  ✓  {_said(steps[passed.check])}（{passed.examined}）")
        for remark in passed.remarks:
            print_line(harmless(f"       · {_said(remark)}"))
    if verdict.flaw is not None:
        _show_flaw(verdict.flaw, steps)
        return
    show_found()
    if verdict.is_anchored:
        print_line(pick("全部成立。", "Everything holds."))
    else:
        print_line(
            pick(
                "若文件自带的名册属实，则全部成立；请以 --roster 或 --key 核对。",
                "Everything holds if the rosters in the files are true: check them with --roster"
                " or --key.",
            )
        )


def _show_flaw(flaw: FlawOf[Step], steps: Mapping[Step, Text]) -> None:
    print_line(f"{flaw.check.value:>2}  ✗  {_said(steps[flaw.check])}")
    print_line(harmless(f"       {flaw.where}: {_said(flaw.what)}"))
    if flaw.got:
        print_line(harmless(f"       {pick('实为', 'got')}: {flaw.got}"))
    if flaw.expected:
        print_line(harmless(f"       {pick('应为', 'expected')}: {flaw.expected}"))
    print_line(pick("不成立：以上为第一处。", "It does not hold: this is the first flaw."))


def _as_dict(verdict: VerdictOf[Step]) -> dict[str, object]:
    return {
        "holds": verdict.holds,
        "anchored": verdict.is_anchored,
        "steps": [
            {
                "step": passed.check.value,
                "name": passed.check.name,
                "examined": passed.examined,
                "remarks": [asdict(remark) for remark in passed.remarks],
            }
            for passed in verdict.passed
        ],
        "flaw": _flaw(verdict.flaw) if verdict.flaw is not None else None,
    }


def _flaw(flaw: FlawOf[Step]) -> dict[str, object]:
    return {
        "step": flaw.check.value,
        "name": flaw.check.name,
        "where": flaw.where,
        "what": asdict(flaw.what),
        "got": flaw.got,
        "expected": flaw.expected,
    }


def _said(text: Text) -> str:
    return pick(text.chinese, text.english)
