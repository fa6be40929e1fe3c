"""Builders of the adapters' tests: a folder with settings, and rows as a city writes them."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.file_drop.adapter import Adapter
from adapters.file_drop.formats import Format
from adapters.file_drop.settings import Settings
from adapters.kit.client import Backoff, Client
from adapters.kit.mapping import Mapping, load_mapping

if TYPE_CHECKING:
    import grpc

    from adapters.file_drop.intake import Step

MAPPING = Path("adapters/simulated/mapping.yaml")
PLATFORM = "131000-p1"
QUICK = Backoff(first=timedelta(milliseconds=1), longest=timedelta(milliseconds=2), attempts_max=3)


def a_row(**cells: str) -> dict[str, str]:
    """Return a complete message in the words of the simulated platforms, with `cells` changed."""
    return {
        "工单编号": "LF-1",
        "诉求类型": "投诉",
        "诉求来源": "电话",
        "紧急程度": "一般",
        "诉求主体": "自然人",
        "事项编码": "041200",
        "诉求标题": "演示标题",
        "诉求内容": "演示内容",
        "事发区划": "131082",
        "诉求人": "测试人员",
        "联系电话": "13800138000;13800138001",
    } | cells


def lines(*rows: dict[str, str]) -> bytes:
    """Return rows as JSON Lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def rows_in(path: Path) -> list[dict[str, str]]:
    """Return the rows of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def city_mapping() -> Mapping:
    """Return the mapping of the simulated platforms."""
    return load_mapping(MAPPING)


def a_settings(folder: Path, kind: Format = Format.JSONL) -> Settings:
    """Return settings over a new private folder, without waiting times."""
    settings = Settings(
        folder=folder / "drop",
        platform=PLATFORM,
        authority="131000",
        endpoint="127.0.0.1:1",
        certificates=folder,
        mapping=MAPPING,
        outbox_format=kind,
        settle=timedelta(0),
        scan_interval=timedelta(milliseconds=5),
    )
    settings.make_folders()
    return settings


def an_adapter(settings: Settings, channel: grpc.aio.Channel, step: Step | None = None) -> Adapter:
    """Return an adapter over an open channel, as a fresh process would make it."""
    client = Client(channel, peer="fake node", backoff=QUICK)
    if step is None:
        return Adapter(settings, city_mapping(), client)
    return Adapter(settings, city_mapping(), client, step=step)
