"""The chapters show the tables that the program runs on, and name what the simulation plants."""

from __future__ import annotations

import pytest

from docs import tables
from tests.fixtures.golden import ROOT, Golden
from tests.simulation.mutants import LATE_CLOCK, MUTANTS, STORY_MUTANTS

CHAPTERS = [path.name for path in tables.chapters()]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_tables_of_a_chapter_are_those_of_the_code(chapter: str, golden: Golden) -> None:
    text = (ROOT / "docs" / chapter).read_text(encoding="utf-8")
    golden.check(f"docs/{chapter}", tables.renewed(text))


def test_every_table_is_shown_somewhere() -> None:
    shown = "".join((ROOT / "docs" / name).read_text(encoding="utf-8") for name in CHAPTERS)
    assert not [name for name in tables.TABLES if f"<!-- table: {name} -->" not in shown]


def test_a_marker_with_an_unknown_name_is_an_error() -> None:
    with pytest.raises(KeyError):
        tables.renewed("<!-- table: no.such -->\n<!-- end of table -->\n")


def test_a_stale_table_is_found() -> None:
    stale = "<!-- table: custody.answer -->\n| old |\n<!-- end of table -->\n"
    assert tables.renewed(stale) != stale
    assert tables.renewed(tables.renewed(stale)) == tables.renewed(stale)


def test_the_chapter_of_custody_names_every_planted_fault() -> None:
    chapter = (ROOT / "docs/custody.md").read_text(encoding="utf-8")
    planted = (*MUTANTS, *STORY_MUTANTS, LATE_CLOCK)
    assert not [mutant.name for mutant in planted if mutant.name not in chapter]
