"""Check the documentation: `python docs/check.py [--update]`.

It checks that every relative link in a Markdown file leads to a file and to a heading in it, that
every `docs/chapter.md#section` named in code exists, and that every block of output is current: a
fenced block after `<!-- output: lubiao ticket --help -->` holds exactly what that command prints.
`--update` writes those blocks (it is part of `make golden`). Addresses outside the repository are
not visited.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
# Where documents and code that names them lie; everything else in a work tree is not ours.
FOLDERS = ("adapters", "benchmarks", "deploy", "docs", "gateway", "proto", "routing_rules", "tests")
CODE_SUFFIXES = frozenset({".csv", ".proto", ".py", ".sql", ".yaml"})
COMMANDS = ("lubiao", "make")
OUTPUT_COLUMNS = "100"
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
_ANCHOR = re.compile(r"<a (?:id|name)=\"([^\"]+)\">")
_NAMED = re.compile(r"\bdocs/[\w/-]+\.md(?:#[\w-]+)?")
_OUTPUT = re.compile(
    r"(<!-- output: (?P<command>[^>]+?) -->\n```text\n)(?P<shown>.*?)(^```$)",
    re.MULTILINE | re.DOTALL,
)


def documents() -> list[Path]:
    """Return every Markdown file of the project."""
    found = [*ROOT.glob("*.md")]
    for folder in FOLDERS:
        found += (ROOT / folder).rglob("*.md")
    return sorted(found)


def check_links() -> Iterator[str]:
    """Yield a line for every link that leads nowhere."""
    for document in documents():
        text = _FENCE.sub("", document.read_text(encoding="utf-8"))
        for target in _LINK.findall(text):
            if re.match(r"[a-z][a-z0-9+.-]*:", target):
                continue
            path, _, section = target.partition("#")
            file = document if not path else (document.parent / path).resolve()
            if problem := _problem(file, section):
                yield f"{_name(document)}: link {target}: {problem}"


def check_named() -> Iterator[str]:
    """Yield a line for every chapter that code names and docs/ does not have."""
    files = (
        path
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.suffix in CODE_SUFFIXES and path != Path(__file__).resolve()
    )
    for file in sorted(files):
        for target in sorted(set(_NAMED.findall(file.read_text(encoding="utf-8-sig")))):
            path, _, section = target.partition("#")
            if problem := _problem(ROOT / path, section):
                yield f"{_name(file)}: names {target}: {problem}"


def check_outputs(*, update: bool) -> Iterator[str]:
    """Yield a line for every shown output that is not current; with `update` write it."""
    shown_in_readme = False
    for document in documents():
        text = document.read_text(encoding="utf-8")
        stale: list[str] = []
        renewed = _OUTPUT.sub(lambda match: _renewed(match, stale), text)  # noqa: B023 - used at once
        shown_in_readme |= document == ROOT / "README.md" and bool(_OUTPUT.search(text))
        if not stale:
            continue
        if update:
            document.write_text(renewed, encoding="utf-8")
        else:
            yield from (
                f"{_name(document)}: output of `{c}` is stale; run `make golden`" for c in stale
            )
    if not shown_in_readme:
        yield "README.md: shows no block `<!-- output: lubiao --help -->`"


def _renewed(match: re.Match[str], stale: list[str]) -> str:
    command = match["command"]
    now = _output(command)
    if now != match["shown"]:
        stale.append(command)
    return f"{match[1]}{now}{match[4]}"


@cache
def _output(command: str) -> str:
    name, *arguments = shlex.split(command)
    if name not in COMMANDS:
        raise SystemExit(f"`{command}` is shown: expected one of {', '.join(COMMANDS)}")
    program = str(BIN / name) if name == "lubiao" else name
    environment = os.environ | {"COLUMNS": OUTPUT_COLUMNS, "NO_COLOR": "1", "TERM": "dumb"}
    finished = subprocess.run(  # noqa: S603 - a command that our own documents show
        [program, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode != 0:
        raise SystemExit(f"`{command}` ended with {finished.returncode}:\n{finished.stderr}")
    return "".join(f"{line.rstrip()}\n" for line in finished.stdout.strip("\n").splitlines())


def _problem(file: Path, section: str) -> str:
    if not file.exists():
        return "no such file"
    if section and file.suffix == ".md" and section not in _sections(file):
        return "no such section"
    return ""


@cache
def _sections(file: Path) -> frozenset[str]:
    """Return the anchors of a document, as web hosts make them out of headings."""
    text = _FENCE.sub("", file.read_text(encoding="utf-8"))
    found = set(_ANCHOR.findall(text))
    for heading in _HEADING.findall(text):
        plain = re.sub(r"<[^>]+>", "", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        number = 0
        unique = slug
        while unique in found:
            number += 1
            unique = f"{slug}-{number}"
        found.add(unique)
    return frozenset(found)


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--update", action="store_true", help="write shown outputs, check nothing")
    update = parser.parse_args(arguments).update
    problems = list(check_outputs(update=update))
    if not update:
        problems += [*check_links(), *check_named()]
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
