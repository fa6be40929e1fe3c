"""What simulated platforms hand in: the samples, and as many ordinary messages as asked for.

Every person, address and body in them is made up and says so.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

SAMPLES = Path(__file__).parent / "samples"
# Ordinary matters whose kind of body exists in every demonstration region.
_MATTERS = (
    ("041200", "驾校退费问题", "投诉"),
    ("020401", "路面破损待修补", "求助"),
    ("050501", "路边长期违法停车", "投诉"),
    ("010405", "小区停车管理混乱", "投诉"),
    ("170103", "民宿订单纠纷", "投诉"),
)


def sample_messages(platform: str) -> list[dict[str, str]]:
    """Return the sample messages of a platform; none for one without samples."""
    path = SAMPLES / f"{platform}.jsonl"
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line]


def ordinary_messages(platform: str, count: int, regions: Sequence[str]) -> list[dict[str, str]]:
    """Return `count` made-up messages about `regions` in turn."""
    return [_ordinary(platform, position, regions) for position in range(count)]


def _ordinary(platform: str, position: int, regions: Sequence[str]) -> dict[str, str]:
    matter, title, kind = _MATTERS[position % len(_MATTERS)]
    return {
        "工单编号": f"{platform.upper()}-{position + 1:06d}",
        "诉求类型": kind,
        "诉求来源": "电话",
        "紧急程度": "一般",
        "诉求主体": "自然人",
        "事项编码": matter,
        "诉求标题": title,
        "诉求内容": f"{title}，请处理。（演示数据第 {position + 1} 件）",
        "事发区划": regions[position % len(regions)],
        "事发地址": "示例路（虚构）",
        "诉求人": f"测试人员{position + 1}",
        "联系电话": "13800138000",
    }
