"""The files of the repository as the tidy tests see them: tracked and new ones, not ignored."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
GENERATED_MARKS = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")
GENERATED_FILES = frozenset({"gateway/kernel/codes.py"})
BINARY_SUFFIXES = frozenset(
    {".bin", ".binpb", ".gif", ".ico", ".jpg", ".parquet", ".png", ".woff2"}
)
NOT_OURS = frozenset({".build", ".demo", ".git", ".venv", "dist", "node_modules"})


@cache
def files() -> tuple[Path, ...]:
    """Return every file of the repository; a tree without git is walked."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if listed.returncode == 0:
        names = [name for name in listed.stdout.decode().split("\0") if name]
        found = [ROOT / name for name in names]
    else:
        found = [path for path in ROOT.rglob("*") if not _is_skipped(path)]
    return tuple(sorted(path for path in set(found) if path.is_file()))


def _is_skipped(path: Path) -> bool:
    parts = path.relative_to(ROOT).parts
    return any(part in NOT_OURS or part.endswith(("_cache", "__pycache__")) for part in parts)


def name_of(path: Path) -> str:
    """Return the path below the repository, as messages show it."""
    return path.relative_to(ROOT).as_posix()


def texts() -> dict[str, str]:
    """Return the text of every file that is not binary, by its path."""
    return {
        name_of(path): path.read_text(encoding="utf-8-sig")
        for path in files()
        if path.suffix not in BINARY_SUFFIXES
    }


def sources(*folders: str) -> dict[str, str]:
    """Return the hand-written Python modules below `folders`; there must be some."""
    found = {
        name_of(path): path.read_text(encoding="utf-8")
        for path in files()
        if path.suffix == ".py"
        and not path.name.endswith(GENERATED_MARKS)
        and name_of(path) not in GENERATED_FILES
        and name_of(path).startswith(tuple(f"{folder}/" for folder in folders))
    }
    for folder in folders:
        assert any(name.startswith(f"{folder}/") for name in found), f"no Python below {folder}/"
    return found
