import pytest

from gateway.cli.demo.judge import Place, Variations, Verdict
from gateway.cli.demo.report import summary, text_lines

VERDICT = Verdict(
    tickets=3,
    children=1,
    places={Place.COMPLETED: 3, Place.IN_CASE: 1},
    lost=(),
    duplicated=(),
    unacknowledged=(),
    disagreeing=(),
    cases=(),
    variations=Variations(3, 2, {"20: in_case: why": 1}, {}),
)
HUB = {"provinces": 4, "cells": 104, "released": 2}


def test_summary_says_how_variations_ended_and_what_reached_the_hub() -> None:
    body = summary(VERDICT, seconds=1.0, nodes=[], hub=HUB)

    assert body["variations"] == {
        "count": 3,
        "as_expected": 2,
        "waiting": {"20: in_case: why": 1},
        "otherwise": {},
    }
    assert body["hub"] == HUB
    assert summary(VERDICT, seconds=1.0, nodes=[])["hub"] is None


def test_text_names_the_reason_of_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "en_US.UTF-8")

    text = "\n".join(text_lines(VERDICT, seconds=1.0, hub=HUB))

    assert "20: in_case: why" in text
    assert "104" in text
