"""Write or check the generated demonstration units: `python -m gateway.reference DIR [--check]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gateway.reference.data import UNITS_FOLDER, demo_unit_files


def main(arguments: list[str]) -> int:
    """Regenerate `DIR/units/*.csv`; with `--check` only answer 1 when they are stale."""
    parser = argparse.ArgumentParser(prog="python -m gateway.reference", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if stale")
    options = parser.parse_args(arguments)
    folder: Path = options.directory / UNITS_FOLDER
    fresh = demo_unit_files(options.directory)
    stale = [
        file
        for file, text in fresh.items()
        if not (folder / file).is_file() or (folder / file).read_text(encoding="utf-8") != text
    ]
    for file in stale:
        sys.stdout.write(f"{'stale' if options.check else 'written'}: {UNITS_FOLDER}/{file}\n")
        if not options.check:
            folder.mkdir(exist_ok=True)
            (folder / file).write_text(fresh[file], encoding="utf-8", newline="\n")
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
