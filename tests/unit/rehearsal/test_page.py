"""The page of a trial: whole, Chinese, and harmless whatever the values are."""

from __future__ import annotations

from datetime import date
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from gateway.kernel.codes import RouteDecisionAction
from gateway.rehearsal.model import Balance, Destination, Flow, Report
from gateway.rehearsal.page import page
from gateway.rehearsal.wire import report_from_pb, report_to_pb
from tests.unit.rehearsal.builders import NOW

EVIL = "<script>alert(1)</script>\"'&"


def a_report(text: str = "units/131082-JT-1") -> Report:
    before = Destination(RouteDecisionAction.ASSIGN, text)
    after = Destination(RouteDecisionAction.OFFER, "authorities/120000")
    return Report(
        authority="131000",
        draft=text,
        baseline="现行规则",
        first=NOW,
        last=NOW,
        on=date(2026, 12, 1),
        examined=20,
        moved=7,
        beside=1,
        by_another_rule=2,
        missing=3,
        is_cut=True,
        flows=(Flow(before, after, 7, {(text, "lf.parking"): 7}, ["13100026000001"]),),
        balances=(Balance(target=text, before=9, after=2, gained=0, lost=7),),
        authorities=(Balance(target="120000", before=0, after=7, gained=7, lost=0),),
        names={text: f"名称{text}", "120000": "天津市"},
    )


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def elements(text: str) -> Elements:
    found = Elements()
    found.feed(page(a_report(text)))
    return found


def test_the_page_says_what_was_found() -> None:
    text = page(a_report())
    for wanted in ("2026-12-01", "35.0%", "名称units/131082-JT-1", "lf.parking", "天津市", "+7"):
        assert wanted in text
    assert 'lang="zh-CN"' in text


@given(st.text() | st.just(EVIL))
def test_no_value_becomes_an_element_or_an_address(text: str) -> None:
    plain, found = elements("x"), elements(text)
    assert found.tags == plain.tags
    assert "script" not in found.tags
    assert {name for name, _ in found.attributes} <= {
        "lang", "charset", "http-equiv", "content", "class", "style",
    }  # fmt: skip


def test_the_page_fetches_nothing() -> None:
    text = page(a_report())
    assert "default-src 'none'" in text.replace("&#x27;", "'")
    assert "http://" not in text
    assert "https://" not in text
    assert "url(" not in text


def test_a_report_crosses_the_wire_whole() -> None:
    report = a_report()
    assert report_from_pb(report_to_pb(report).simulation) == report


def test_a_trial_without_any_ticket_has_a_page_too() -> None:
    empty = Report(
        authority="131000",
        draft="d",
        baseline="b",
        first=None,
        last=None,
        on=date(2026, 12, 1),
        examined=0,
        moved=0,
        beside=0,
        by_another_rule=0,
    )
    assert "无变化" in page(empty)
    assert report_from_pb(report_to_pb(empty).simulation) == empty
