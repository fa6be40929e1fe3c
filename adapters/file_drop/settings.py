"""Settings of one adapter: `adapter.yaml` in its folder, checked as a whole."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import yaml

from adapters.file_drop.formats import Format
from adapters.kit.files import make_private_folder
from gateway.kernel.errors import FieldInvalid

SIMULATED = "simulated"  # a setting of `mapping`: the one of the simulated platforms
SIMULATED_MAPPING = Path(__file__).parents[1] / "simulated" / "mapping.yaml"
SETTINGS_FILE = "adapter.yaml"
SECONDS_MAX = 3600  # an adapter that looks less than once an hour is not running
SETTINGS_BYTES_MAX = 64 * 1024  # written by a person


@dataclass(frozen=True, slots=True)
class Settings:
    """What one adapter needs to know."""

    folder: Path
    platform: str
    authority: str
    endpoint: str
    certificates: Path
    mapping: Path
    host: str = ""
    outbox_format: Format = Format.JSONL
    scan_interval: timedelta = timedelta(seconds=1)
    settle: timedelta = timedelta(seconds=2)
    purpose: str = "承办处理"

    @property
    def principal(self) -> str:
        """The principal of the adapter's certificate."""
        return f"lubiao://{self.authority}/platform/{self.platform}"

    @property
    def inbox(self) -> Path:
        """Where the platform puts messages."""
        return self.folder / "inbox"

    @property
    def answers(self) -> Path:
        """Where the platform puts its answers to assignments."""
        return self.folder / "answers"

    @property
    def outbox(self) -> Path:
        """Where the adapter puts assignments, progress and receipts."""
        return self.folder / "outbox"

    @property
    def rejected(self) -> Path:
        """Where rows go that cannot be taken, each with its reason."""
        return self.folder / "rejected"

    @property
    def state(self) -> Path:
        """The adapter's own files: journal and resume token."""
        return self.folder / "state"

    def make_folders(self) -> None:
        """Make the folders, and refuse any that is open to others."""
        make_private_folder(self.folder)
        for path in (self.inbox, self.answers, self.outbox, self.rejected, self.state):
            make_private_folder(path)


def _seconds(text: str) -> timedelta:
    value = float(text)
    if not 0 <= value <= SECONDS_MAX:
        raise ValueError(text)
    return timedelta(seconds=value)


def _matching(pattern: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(text)
        return text

    return check


_REQUIRED: dict[str, tuple[Callable[[str], object], str]] = {
    "platform": (_matching(r"[a-z0-9][a-z0-9._-]{0,62}"), "the platform's id"),
    "authority": (_matching(r"[1-9][0-9]{5}"), "a region code of six digits"),
    "endpoint": (_matching(r"[^\s]{1,253}:[0-9]{1,5}"), "host:port of the node"),
    "certificates": (str, "a folder"),
    "mapping": (str, "a file"),
}
_OPTIONAL: dict[str, tuple[Callable[[str], object], str]] = {
    "host": (_matching(r"[^\s]{0,253}"), "the name in the node's certificate"),
    "outbox_format": (Format, "csv or jsonl"),
    "scan_interval": (_seconds, "seconds, 0 to 3600"),
    "settle": (_seconds, "seconds, 0 to 3600"),
    "purpose": (_matching(r".{1,200}"), "why personal fields are read"),
}


def load_settings(folder: Path) -> Settings:
    """Return the settings in a folder.

    Raises:
        FieldInvalid: the file cannot be read or has problems; all of them are named.
    """
    path = folder / SETTINGS_FILE
    try:
        raw = yaml.safe_load(path.read_bytes()[:SETTINGS_BYTES_MAX].decode("utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise FieldInvalid(field=path, got=type(error).__name__, expected="a YAML file") from error
    body = raw if isinstance(raw, dict) else {}
    known = _REQUIRED | _OPTIONAL
    problems = [f"{name} is no setting" for name in sorted(set(map(str, body)) - set(known))]
    values: dict[str, object] = {}
    for name, (read, expected) in known.items():
        if name not in body:
            if name in _REQUIRED:
                problems.append(f"{name} is missing: {expected}")
            continue
        try:
            values[name] = read(str(body[name]))
        except ValueError:
            problems.append(f"{name} must be {expected}")
    if problems:
        raise FieldInvalid(
            field=path,
            got=f"{len(problems)} problems",
            expected="complete settings",
            hint="; ".join(problems),
        )
    values["certificates"] = folder / str(values["certificates"])
    values["mapping"] = (
        SIMULATED_MAPPING if values["mapping"] == SIMULATED else folder / str(values["mapping"])
    )
    return Settings(folder=folder, **values)  # type: ignore[arg-type]  # read and checked by name
