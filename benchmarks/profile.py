"""A sampling profiler of CPU time that tells the parts of the house apart.

The kernel sends SIGPROF after every interval of CPU time that the process used, in whatever thread;
the handler looks where the interpreter is and counts the part. What runs in C below no frame of
ours (gRPC's core, the event loop, the interpreter itself) is counted as `grpc and loop`. The cost
of a sample is about 10 µs an interval of 2 ms.
"""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path
from types import FrameType

INTERVAL_SECONDS = 0.002
OTHER = "grpc and loop"
# The innermost frame that one of these path fragments names decides; first fragment first.
PARTS = (
    ("protovalidate", "validate"),
    ("celpy", "validate"),
    ("cel_expr_python", "decide"),
    ("gateway/kernel/validation", "validate"),
    ("gateway/kernel/expressions", "decide"),
    ("gateway/trust/statements", "sign"),
    ("gateway/trust/keys", "sign"),
    ("gateway/trust/sealing", "seal"),
    ("gateway/trust/storage", "seal"),
    ("gateway/trust/commitments", "seal"),
    ("gateway/privacy/vault", "seal"),
    ("gateway/trust/authentication", "grpc and loop"),
    ("gateway/routing", "decide"),
    ("gateway/reference", "decide"),
    ("gateway/dispatch/router", "decide"),
    ("gateway/database", "rows"),
    ("asyncpg", "rows"),
    ("gateway/custody/codec", "parse"),
    ("gateway/delivery/codec", "parse"),
    ("gateway/tickets/codec", "parse"),
    ("gateway/tickets/life_codec", "parse"),
    ("gateway/dispatch/codec", "parse"),
    ("gateway/trust/codec", "parse"),
    ("google/protobuf", "parse"),
    ("gateway/tickets/rows", "rows"),
    ("gateway/tickets/life_rows", "rows"),
    ("gateway/custody/rows", "rows"),
    ("gateway/telemetry", "telemetry"),
    ("structlog", "telemetry"),
    ("opentelemetry", "telemetry"),
    ("gateway/custody", "custody"),
    ("gateway/delivery", "delivery"),
    ("gateway/tickets", "tickets and dispatch"),
    ("gateway/dispatch", "tickets and dispatch"),
    ("gateway/audit", "tickets and dispatch"),
    ("gateway/server", "grpc and loop"),
    ("grpc", "grpc and loop"),
)
_counts: Counter[str] = Counter()


def start() -> None:
    """Begin to sample this process."""
    signal.signal(signal.SIGPROF, _sample)
    signal.setitimer(signal.ITIMER_PROF, INTERVAL_SECONDS, INTERVAL_SECONDS)


def write(path: Path) -> None:
    """End sampling and write the counts as JSON."""
    signal.setitimer(signal.ITIMER_PROF, 0)
    path.write_text(json.dumps(_counts), encoding="utf-8")


def show(path: Path) -> None:
    """Write the counts until now as JSON and go on, for SIGUSR2; whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(_counts), encoding="utf-8")
    part.replace(path)


def reset(_signal: int, _frame: FrameType | None) -> None:
    """Forget what was counted; a handler for SIGUSR1, sent after the warm-up."""
    _counts.clear()


def _sample(_signal: int, frame: FrameType | None) -> None:
    while frame is not None:
        part = _part_of(frame.f_code.co_filename)
        if part:
            _counts[part] += 1
            return
        frame = frame.f_back
    _counts[OTHER] += 1


_known: dict[str, str] = {}


def _part_of(file: str) -> str:
    found = _known.get(file)
    if found is None:
        found = next((part for fragment, part in PARTS if fragment in file), "")
        _known[file] = found
    return found
