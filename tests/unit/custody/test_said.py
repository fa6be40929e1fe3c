"""What a process remembers of what it said is what anybody reads out of the bytes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from gateway.custody import codec as bodies_codec
from gateway.custody import writer
from gateway.delivery import codec
from gateway.delivery.model import Statement
from tests.fixtures.nodes import a_federation, a_message, a_platform


async def test_what_is_said_reads_back_as_it_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: Counter[str] = Counter()

    def compare_statement(raw: bytes, statement: Statement) -> None:
        assert codec._checked_statement(raw) == statement
        seen[statement.kind] += 1

    def compare_body(kind: str, raw: bytes, body: Any) -> None:
        assert bodies_codec._body_from_bytes(kind, raw) == body

    monkeypatch.setattr(writer, "remember_said", compare_statement)
    monkeypatch.setattr(bodies_codec, "remember_said", compare_body)
    federation = a_federation()
    await federation.create(a_platform("120000"), a_message())
    await federation.settle()
    assert {"Genesis", "Offer", "Answer", "Release", "TicketUpdate", "UpdateAnswer"} <= set(seen)


def test_what_was_said_is_forgotten_in_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "SAID_MAX", 2)
    monkeypatch.setattr(codec, "_said", {})
    for raw in (b"1", b"2", b"3"):
        codec.remember_said(raw, raw)  # type: ignore[arg-type] # any value will do
    assert list(codec._said) == [b"2", b"3"]
