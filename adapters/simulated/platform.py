"""A simulated city platform: it hands in messages and handles what its units are given.

It speaks its own language (Chinese columns and codes) and touches nothing but the files of its
adapter's folder. For every assignment it signs, contacts, resolves, calls the citizen back, with
small delays; one answer at a time, the next when the adapter has taken the one before. Its own
records are files, so it goes on where it was when it is killed.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from adapters.kit.files import PART_SUFFIX, make_private_folder, remove, write_whole

RECORDS = "platform"  # below the adapter's folder: the platform's own database, so to say
HANDED_IN = "handed-in"


@dataclass(frozen=True, slots=True)
class Delays:
    """How long the simulated people take, in seconds."""

    sign: float = 0.5
    contact: float = 0.5
    done: float = 1.0
    rating: float = 0.5


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a unit does about a ticket."""

    name: str
    delay_seconds: float
    cells: Mapping[str, str]


def steps(delays: Delays) -> tuple[Step, ...]:
    """Return what is done about every ticket, in order."""
    return (
        Step("1-sign", delays.sign, {"操作": "签收"}),
        Step("2-contact", delays.contact, {"操作": "联系", "联系方式": "电话"}),
        Step(
            "3-done",
            delays.done,
            {
                "操作": "办结",
                "是否解决": "已解决",
                "办理情况": "经核实已处理，并向诉求人说明。（演示数据）",
                "公开答复内容": "已处理。（演示数据）",
            },
        ),
        Step(
            "4-rating",
            delays.rating,
            {
                "操作": "评价",
                "满意度": "满意",
                "是否响应": "是",
                "诉求人认为解决": "是",
                "联系方式": "电话",
            },
        ),
    )


class SimulatedPlatform:
    """One platform over one adapter folder; `tick` does what is due."""

    def __init__(
        self,
        folder: Path,
        *,
        messages: Sequence[Mapping[str, str]],
        delays: Delays,
        now: Callable[[], float],
    ) -> None:
        """Work in `folder`, with `messages` to hand in at the beginning."""
        self._inbox = folder / "inbox"
        self._answers = folder / "answers"
        self._outbox = folder / "outbox"
        self._records = folder / RECORDS
        self._messages = messages
        self._steps = steps(delays)
        self._now = now
        self._since: dict[str, float] = {}
        for path in (folder, self._inbox, self._answers, self._outbox, self._records):
            make_private_folder(path)

    def tick(self) -> None:
        """Hand in, fetch and answer whatever is due."""
        self._hand_in()
        self._fetch()
        for record in sorted(self._records.glob("*.case.json")):
            self._go_on(record)

    def _hand_in(self) -> None:
        marker = self._records / HANDED_IN
        if marker.exists():
            return
        if self._messages:
            lines = [json.dumps(dict(row), ensure_ascii=False) + "\n" for row in self._messages]
            _drop(self._inbox / "messages.jsonl", "".join(lines).encode())
        write_whole(marker, b"")

    def _fetch(self) -> None:
        """Take over assignments; read and drop news and receipts."""
        for path in sorted(self._outbox.iterdir()):
            if path.name.startswith(".") or path.suffix == PART_SUFFIX:
                continue
            if path.name.startswith("assignment-"):
                for row in _rows(path):
                    name = f"{row['全国工单编号']}-{row['派单序号']}.case.json"
                    record = self._records / name
                    if not record.exists():
                        _write_record(record, row["全国工单编号"], 0)
            remove(path)

    def _go_on(self, record: Path) -> None:
        case = json.loads(record.read_bytes())
        position = int(case["step"])
        if position >= len(self._steps):
            return
        step = self._steps[position]
        before = self._steps[position - 1] if position else None
        stem = record.name.removesuffix(".case.json")
        if before is not None and (self._answers / f"{stem}-{before.name}.jsonl").exists():
            return  # the adapter has not taken the last answer yet
        since = self._since.setdefault(f"{stem}/{position}", self._now())
        if self._now() - since < step.delay_seconds:
            return
        row = {"全国工单编号": str(case["number"]), **step.cells}
        line = json.dumps(row, ensure_ascii=False) + "\n"
        _drop(self._answers / f"{stem}-{step.name}.jsonl", line.encode())
        _write_record(record, str(case["number"]), position + 1)


def _write_record(record: Path, number: str, step: int) -> None:
    write_whole(record, json.dumps({"number": number, "step": step}).encode())


def _drop(path: Path, content: bytes) -> None:
    """Put a file where the adapter looks: under another name first, as platforms are told to."""
    part = path.with_name(path.name + PART_SUFFIX)
    write_whole(part, content)
    part.replace(path)


def _rows(path: Path) -> list[dict[str, str]]:
    text = path.read_bytes().decode("utf-8-sig")
    if path.suffix == ".csv":
        return [dict(row) for row in csv.DictReader(io.StringIO(text, newline=""))]
    return [json.loads(line) for line in text.split("\n") if line]
