"""One exposition out of those of several processes: each sample gets the label `worker`.

What describes the node and not the process (how much waits in the database, which roster counts)
says the same in each of them and is shown once, without the label, so that a sum stays right.
What only one process knows at a time, such as how the peer answers that it pumps to, keeps the
label.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

NODE_WIDE = (
    "lubiao_outbox_",
    "lubiao_roster_",
    "lubiao_certificate_",
    "lubiao_undelivered_",
    "lubiao_misroutes_",
    "lubiao_node_",
    "lubiao_peer_alarm",
    "lubiao_peer_paused",
)
_SAMPLE = re.compile(r"(?P<name>[A-Za-z_:][A-Za-z0-9_:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+.*)")


def merged(expositions: Mapping[int, str]) -> str:
    """Return one text in the Prometheus form out of those of workers, by their number."""
    heads: dict[str, list[str]] = {}
    samples: dict[str, dict[str, str]] = {}
    for worker, text in sorted(expositions.items()):
        family = ""
        for line in text.splitlines():
            if line.startswith("#"):
                family = _family(line)
                head = heads.setdefault(family, [])
                if line not in head:
                    head.append(line)
            elif match := _SAMPLE.fullmatch(line):
                series = _series(match, worker)
                samples.setdefault(family, {}).setdefault(series, f"{series} {match['value']}")
    return "".join(
        f"{line}\n"
        for family in heads
        for line in (*heads[family], *samples.get(family, {}).values())
    )


def _family(line: str) -> str:
    """Return the family that a line `# HELP name …` or `# TYPE name …` begins."""
    parts = line.split(" ", 3)
    return parts[2] if len(parts) > 2 else ""  # noqa: PLR2004 # the third word


def _series(match: re.Match[str], worker: int) -> str:
    """Return the name and labels under which a worker's sample is shown."""
    name, labels = match["name"], match["labels"]
    if name.startswith(NODE_WIDE):
        return f"{name}{{{labels}}}" if labels else name
    own = f'worker="{worker}"'
    return f"{name}{{{own},{labels}}}" if labels else f"{name}{{{own}}}"
