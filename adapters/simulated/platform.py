"""A simulated city platform: it hands in messages and handles what its units are given.

It speaks its own language (Chinese columns and codes) and touches nothing but the files of its
adapter's folder. What is due is written to `answers/` as one file at a time; the next follows when
the adapter has taken it, and what it found in `rejected/` is done again later. Its own database is
one file that is only appended to, so it goes on where it was when it is killed; a file that it may
have written before is written again, which changes nothing.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from adapters.kit.files import PART_SUFFIX, make_private_folder, remove, write_whole
from adapters.simulated.messages import ID, behaviours_of, is_urged
from adapters.simulated.plans import (
    ASSIGNMENT,
    EVENT,
    NUMBER,
    UNIT,
    WATCHED,
    Delays,
    Step,
    answer_to_question,
    plan_for,
    ring_again,
)

RECORDS = "platform"  # below the adapter's folder: the platform's own database, so to say
HANDED_IN, DATABASE = "handed-in", "records.jsonl"
BATCH_ROWS_MAX = 200  # one file must not keep the others waiting for long
MESSAGES_PER_FILE = 500  # a batch of the node
RETRY_SECONDS = 2.0
WAITING = frozenset({"TRANSITION_NOT_ALLOWED", "CASE_PENDING"})  # another day, perhaps


@dataclass(slots=True)
class Record:
    """Where one plan stands; `due` is machine time, since a process began."""

    key: str
    number: str
    plan: Sequence[Step]
    position: int = 0
    attempts: int = 0
    unit: str = ""  # whose assignment it is about
    due: float | None = None

    @property
    def about(self) -> Mapping[str, str]:
        """Which assignment an answer is about: the same answer about another is another row."""
        return {ASSIGNMENT: self.key.rpartition("-")[2]} if self.unit else {}

    @property
    def step(self) -> Step | None:
        """The next thing to do, or None when all is done."""
        return self.plan[self.position] if self.position < len(self.plan) else None


@dataclass(slots=True)
class _Batch:
    """The file that the adapter has not taken yet."""

    number: int
    keys: list[str]
    reasons: dict[int, str] = field(default_factory=dict)


class SimulatedPlatform:
    """One platform over one adapter folder; `tick` does what is due."""

    def __init__(
        self,
        folder: Path,
        *,
        messages: Sequence[Mapping[str, str]],
        delays: Delays,
        now: Callable[[], float],
        platform: str = "",
    ) -> None:
        """Work in `folder`, with `messages` to hand in at the beginning."""
        self._inbox = folder / "inbox"
        self._answers = folder / "answers"
        self._outbox = folder / "outbox"
        self._rejected = folder / "rejected"
        self._records_folder = folder / RECORDS
        self._messages = messages
        self._delays = delays
        self._behaviours = behaviours_of(platform)
        self._now = now
        for path in (
            folder,
            self._inbox,
            self._answers,
            self._outbox,
            self._rejected,
            self._records_folder,
        ):
            make_private_folder(path)
        self._records: dict[str, Record] = {}
        self._seen: set[tuple[str, str]] = set()  # number and unit of this platform that got it
        self._heard: set[tuple[str, str]] = set()  # number and event, while this process lives
        self._open: dict[str, None] = {}  # keys of records with something to do, in order
        self._batch_number = 0
        self._batch: _Batch | None = None
        self._load()

    def tick(self) -> None:
        """Hand in, fetch and answer whatever is due."""
        self._hand_in()
        self._fetch()
        self._settle_batch()
        self._answer_due()

    # --- messages and news ---------------------------------------------------------------------

    def _hand_in(self) -> None:
        marker = self._records_folder / HANDED_IN
        if marker.exists():
            return
        for start in range(0, len(self._messages), MESSAGES_PER_FILE):
            rows = self._messages[start : start + MESSAGES_PER_FILE]
            name = "messages.jsonl" if start == 0 else f"messages-{start}.jsonl"
            drop(self._inbox / name, rows)
        write_whole(marker, b"")

    def _fetch(self) -> None:
        """Take over assignments and questions; read and drop news and receipts."""
        for path in sorted(self._outbox.iterdir()):
            if path.name.startswith(".") or path.suffix == PART_SUFFIX:
                continue
            kind = path.name.partition("-")[0]
            if kind != "receipt":
                for row in _rows(path):
                    self._take(kind, row)
            remove(path)

    def _take(self, kind: str, row: Mapping[str, str]) -> None:
        number = row[NUMBER]
        match kind:
            case "assignment":
                unit = row.get(UNIT, "")
                is_first = (number, unit) not in self._seen
                self._seen.add((number, unit))
                plan = plan_for(
                    row, delays=self._delays, behaviours=self._behaviours, is_first=is_first
                )
                self._begin(f"{number}-{row[ASSIGNMENT]}", number, plan, unit=unit)
            case "question":
                asked = row["问题序号"]
                self._begin(f"{number}-question-{asked}", number, (answer_to_question(asked),))
            case _:
                if row.get(EVENT) in WATCHED:
                    self._heard.add((number, row[EVENT]))
                if is_urged(row.get(ID, "")) and row.get("工单状态") == "待处置":
                    self._begin(f"{number}-urge", number, (ring_again(),))

    def _begin(self, key: str, number: str, plan: Sequence[Step], *, unit: str = "") -> None:
        if key not in self._records:
            self._keep(Record(key, number, plan, unit=unit))

    # --- answers -------------------------------------------------------------------------------

    def _answer_due(self) -> None:
        if self._batch is not None:
            return
        now = self._now()
        keys: list[str] = []
        for key in self._open:
            record = self._records[key]
            step = record.step
            if step is None:
                continue
            if record.due is None:
                record.due = now + step.delay_seconds
            is_due = record.due <= now or (record.number, step.until) in self._heard
            if is_due and len(keys) < BATCH_ROWS_MAX:
                keys.append(key)
        if keys:
            self._batch_number += 1
            self._append({"batch": self._batch_number, "keys": keys})
            self._drop_batch(_Batch(self._batch_number, keys))

    def _drop_batch(self, batch: _Batch) -> None:
        self._batch = batch
        rows = []
        for key in batch.keys:
            record = self._records[key]
            step = record.step
            if step is not None:
                rows.append({NUMBER: record.number, **record.about, **step.cells})
        drop(self._answers / _batch_name(batch.number), rows)

    def _settle_batch(self) -> None:
        """Go on with what the adapter took; do again later what the node refused for now."""
        batch = self._batch
        if batch is None or (self._answers / _batch_name(batch.number)).exists():
            return
        self._batch = None
        refused = self._refused_rows(batch.number)
        for position, key in enumerate(batch.keys, start=1):
            record = self._records[key]
            step = record.step
            record.attempts += 1
            record.due = None
            is_waiting = refused.get(position) in WAITING
            if is_waiting and step is not None and record.attempts < step.attempts:
                record.due = self._now() + RETRY_SECONDS
            else:
                record.position += 1
                record.attempts = 0
            self._keep(record)
        self._append({"settled": batch.number})

    def _refused_rows(self, number: int) -> dict[int, str]:
        """Return the reason by row of what the node refused, and clear it away."""
        found: dict[int, str] = {}
        stem = _batch_name(number).removesuffix(".jsonl")
        for path in self._rejected.glob(f"{stem}-*.reasons.jsonl"):
            found |= {int(row["行号"]): row["原因代码"] for row in _rows(path)}
            remove(path.with_name(path.name.replace(".reasons", "")))
            remove(path)
        return found

    # --- the database --------------------------------------------------------------------------

    def _keep(self, record: Record) -> None:
        self._records[record.key] = record
        if record.step is None:
            self._open.pop(record.key, None)
        else:
            self._open[record.key] = None
        self._append(
            {
                "key": record.key,
                "number": record.number,
                "plan": [asdict(step) for step in record.plan],
                "position": record.position,
                "attempts": record.attempts,
                "unit": record.unit,
            }
        )

    def _append(self, row: Mapping[str, Any]) -> None:
        line = json.dumps(row, ensure_ascii=False) + "\n"
        with (self._records_folder / DATABASE).open("ab") as stream:
            stream.write(line.encode())

    def _load(self) -> None:
        unsettled: dict[int, list[str]] = {}
        for row in _whole_lines(self._records_folder / DATABASE):
            if "batch" in row:
                self._batch_number = int(row["batch"])
                unsettled[self._batch_number] = list(row["keys"])
            elif "settled" in row:
                unsettled.pop(int(row["settled"]), None)
            else:
                plan = tuple(Step(**step) for step in row["plan"])
                key = str(row["key"])
                record = Record(
                    key,
                    str(row["number"]),
                    plan,
                    row["position"],
                    row["attempts"],
                    str(row.get("unit", "")),
                )
                self._records[key] = record
                if "-question-" not in key and not key.endswith("-urge"):
                    self._seen.add((record.number, record.unit))
        self._open = {key: None for key, found in self._records.items() if found.step is not None}
        for number, keys in unsettled.items():
            # Perhaps it was taken, perhaps never written: again, with the same request ids.
            self._drop_batch(_Batch(number, keys))


def _batch_name(number: int) -> str:
    return f"answers-{number:06d}.jsonl"


def drop(path: Path, rows: Iterable[Mapping[str, str]]) -> None:
    """Put a file where the adapter looks: under another name first, as platforms are told to."""
    content = "".join(json.dumps(dict(row), ensure_ascii=False) + "\n" for row in rows)
    part = path.with_name(path.name + PART_SUFFIX)
    write_whole(part, content.encode())
    part.replace(path)


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file that is appended to; a line in the making does not count."""
    if not path.exists():
        return []
    *whole, torn = path.read_bytes().split(b"\n")
    if torn:
        os.truncate(path, path.stat().st_size - len(torn))
    return [json.loads(line) for line in whole]


def _rows(path: Path) -> list[dict[str, str]]:
    text = path.read_bytes().decode("utf-8-sig")
    if path.suffix == ".csv":
        return [dict(row) for row in csv.DictReader(io.StringIO(text, newline=""))]
    return [json.loads(line) for line in text.split("\n") if line]
