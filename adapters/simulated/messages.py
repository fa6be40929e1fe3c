"""What simulated platforms hand in: the samples, and as many variations of them as asked for.

A variation tells the story of its sample again: another number, another channel, another place of
the same kind. Which cells may differ stands in `samples/variations.yaml`. The same seed gives the
same variations. Every person, address and body in them is made up and says so.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

SAMPLES = Path(__file__).parent / "samples"
ID, TITLE, CONTENT, CHANNEL = "工单编号", "诉求标题", "诉求内容", "诉求来源"
PERSON, PHONE = "诉求人", "联系电话"
CHANNELS = ("电话", "网站", "App", "微信", "领导留言板", "110转入")
URGED_EVERY = 20  # of this many variations one citizen rings again


def sample_messages(platform: str) -> list[dict[str, str]]:
    """Return the sample messages of a platform; none for one without samples."""
    path = SAMPLES / f"{platform}.jsonl"
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line]


def variation_messages(
    platform: str, counts: Mapping[str, int], *, seed: int = 0
) -> list[dict[str, str]]:
    """Return so many variations of each sample of a platform, by the number of the sample."""
    choices = _sample_file("variations.yaml")
    found: list[dict[str, str]] = []
    for sample in sample_messages(platform):
        cells: Mapping[str, Sequence[str]] = choices.get(sample[ID], {})
        found += [
            _variation(sample, cells, number, seed=seed)
            for number in range(1, counts.get(sample[ID], 0) + 1)
        ]
    return found


def variation_id(sample: str, number: int) -> str:
    """Return the number of a variation in its platform."""
    return f"{sample}-V{number:06d}"


def is_urged(external_id: str) -> bool:
    """Tell whether the citizen of this message rings again while it is handled."""
    _, mark, number = external_id.rpartition("-V")
    return bool(mark) and number.isdigit() and int(number) % URGED_EVERY == 0


def behaviours_of(platform: str) -> list[dict[str, Any]]:
    """Return how the people of a platform's units behave (`samples/behaviours.yaml`)."""
    return list(_sample_file("behaviours.yaml").get(platform, []))


def desk_choices(authority: str) -> list[dict[str, str]]:
    """Return what the people at an authority's desk decide (`samples/desks.yaml`)."""
    return list(_sample_file("desks.yaml").get(authority, []))


def positions_of(authority: str) -> list[dict[str, Any]]:
    """Return what the people of an authority say in disputes (`samples/disputes.yaml`)."""
    return list(_sample_file("disputes.yaml").get("positions", {}).get(authority, []))


def rulings_of(authority: str) -> list[dict[str, Any]]:
    """Return how the panel of an authority rules on some matters (`samples/disputes.yaml`)."""
    return list(_sample_file("disputes.yaml").get("panels", {}).get(authority, []))


def bodies_of(authority: str) -> list[dict[str, Any]]:
    """Return what an authority's vertically managed bodies answer (`samples/disputes.yaml`)."""
    return list(_sample_file("disputes.yaml").get("bodies", {}).get(authority, []))


def _variation(
    sample: Mapping[str, str], cells: Mapping[str, Sequence[str]], number: int, *, seed: int
) -> dict[str, str]:
    identity = variation_id(sample[ID], number)
    chance = random.Random(f"{seed}/{identity}")  # noqa: S311 (a demonstration, no secret)
    row = dict(sample)
    for column, values in cells.items():
        row[column] = chance.choice(list(values))
    row[ID] = identity
    row[CHANNEL] = chance.choice(CHANNELS)
    row[CONTENT] = f"{sample[CONTENT]}（演示数据第 {number} 次变化）"
    row[PERSON] = f"测试人员{number}"
    row[PHONE] = f"138{chance.randrange(10**8):08d}"
    return row


def _sample_file(name: str) -> dict[str, Any]:
    raw = yaml.safe_load((SAMPLES / name).read_text(encoding="utf-8"))
    return raw if isinstance(raw, dict) else {}
