"""The submitters' own lists and the expectations, as files on disk say."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from gateway.cli.demo.judge import Expectation, Submitted

EXPECTATIONS = Path(__file__).with_name("expectations.yaml")
JOURNAL = Path("state") / "journal.jsonl"  # below an adapter's folder (docs/adapters.md)


def read_expectations(path: Path = EXPECTATIONS) -> list[Expectation]:
    """Return how the cases must end."""
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [
        Expectation(
            id=int(case["id"]),
            platform=str(case["platform"]),
            external_id=str(case["external_id"]),
            expected=case["expected"],
        )
        for case in raw["cases"]
    ]


def read_submitted(folder: Path, *, platform: str, authority: str) -> Submitted:
    """Return the list that the adapter of a folder keeps; a line in the making does not count."""
    path = folder / JOURNAL
    sent: set[str] = set()
    acknowledged: dict[str, str] = {}
    for line in path.read_bytes().split(b"\n")[:-1] if path.exists() else []:
        entry = json.loads(line)
        external_id = str(entry["external_id"])
        if entry["kind"] == "submitted":
            sent.add(external_id)
        elif entry["kind"] == "acknowledged":
            acknowledged[external_id] = str(entry["number"])
    return Submitted(
        platform=platform,
        authority=authority,
        sent=frozenset(sent),
        acknowledged=acknowledged,
    )


def ordinary_ids(platform: str, count: int) -> list[str]:
    """Return the external ids of the made-up messages of a simulated platform."""
    return [f"{platform.upper()}-{position + 1:06d}" for position in range(count)]
