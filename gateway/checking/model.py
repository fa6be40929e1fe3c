"""The values of checking: a finding with its witness, what a month of history counted, a result.

A `Finding` is about one rule (or a whole pack, or several authorities) and names the other lines
involved. It carries a `Witness`, the ticket that exhibits it, or says why there is none. Its texts
are made from `texts.TEXTS` when somebody reads them: of a hundred thousand findings most are only
counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from gateway.checking.texts import TEXTS, Check
from gateway.kernel.time import SHANGHAI
from gateway.routing.model import RoutingFacts, Witness

__all__ = ["Cell", "Check", "Finding", "Findings", "History", "Known", "Place", "Witness"]

RELATED_MAX = 20  # lines that one finding names; the text says how many there are
CellKey = tuple[str, str, int]  # region, matter, type


@dataclass(frozen=True, slots=True)
class Place:
    """A rule, and where it stands."""

    pack: str
    line: int
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """A part of a gap: everything in `area` but `excepted`, of one matter, with these types."""

    area: str
    excepted: tuple[str, ...]
    matter: str
    types: tuple[int, ...]
    tickets: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a check has to say. `values` fill the texts of its code."""

    code: Check
    pack: str
    line: int = 0
    rule: str = ""
    is_error: bool = False
    values: tuple[str, ...] = ()
    related: tuple[Place, ...] = ()
    witness: Witness | None = None
    no_witness: str = ""
    cells: tuple[Cell, ...] = ()
    tickets: int = 0
    detail: str = ""  # the parser's own word for what is wrong with a text

    @property
    def word(self) -> str:
        """The kind of finding in kebab-case."""
        return self.detail or self.code.value

    @property
    def zh(self) -> str:
        """What is wrong, in Chinese."""
        return TEXTS[self.code].zh.format(self.rule, *self.values)

    @property
    def en(self) -> str:
        """What is wrong, in English."""
        return TEXTS[self.code].en.format(self.rule, *self.values)

    @property
    def advice_zh(self) -> str:
        """What to do, in Chinese."""
        return TEXTS[self.code].advice_zh.format(self.rule, *self.values)

    @property
    def advice_en(self) -> str:
        """What to do, in English."""
        return TEXTS[self.code].advice_en.format(self.rule, *self.values)

    @property
    def problem(self) -> str:
        """What is wrong; people read Chinese first."""
        return self.zh

    @property
    def advice(self) -> str:
        """What to do; people read Chinese first."""
        return self.advice_zh

    @property
    def lines(self) -> tuple[int, ...]:
        """The lines involved in the finding's own pack, its own first."""
        own = (place.line for place in self.related if place.pack == self.pack)
        return tuple(dict.fromkeys((self.line, *own)))

    def __str__(self) -> str:
        """Return the finding on one line."""
        return f"{self.pack}:{self.line}: [{self.word}] {self.zh}。{self.advice_zh}。"

    def row(self) -> dict[str, object]:
        """Return the finding as plain values, for JSON."""
        return {
            "code": self.word,
            "title": self.code.zh,
            "pack": self.pack,
            "line": self.line,
            "lines": list(self.lines),
            "rule": self.rule,
            "is_error": self.is_error,
            "problem": self.zh,
            "problem_en": self.en,
            "advice": self.advice_zh,
            "advice_en": self.advice_en,
            "related": [
                {"pack": place.pack, "line": place.line, "rule": place.rule}
                for place in self.related
            ],
            "witness": None if self.witness is None else witness_row(self.witness),
            "no_witness": self.no_witness,
            "cells": [
                {
                    "area": cell.area,
                    "excepted": list(cell.excepted),
                    "matter": cell.matter,
                    "types": list(cell.types),
                    "tickets": cell.tickets,
                }
                for cell in self.cells
            ],
            "tickets": self.tickets,
        }


def witness_row(witness: Witness) -> dict[str, object]:
    """Return a witness as plain values: the facts that are set, who decides, when."""
    facts: dict[str, object] = {}
    for name in RoutingFacts.__slots__:
        value = getattr(witness.facts, name)
        if value or name in {"region", "matter", "type", "urgency"}:
            facts[name] = list(value) if isinstance(value, tuple) else value
    return {
        "facts": facts,
        "authority": witness.authority,
        "now": witness.now.astimezone(SHANGHAI).isoformat(),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What was counted over some days: tickets by cell, decisions by the rule that won."""

    days: int
    cells: Mapping[CellKey, int] = field(default_factory=dict)
    hits: Mapping[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """How many tickets there were."""
        return sum(self.cells.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a node knows beside packs and reference data.

    `joined` are authorities that can take an offer beside those that own a pack. `hosted` says
    which authorities one node hosts together: it evaluates all their packs. `leaving` are the last
    days of units, as their authorities announced them.
    """

    joined: frozenset[str] = frozenset()
    hosted: frozenset[str] = frozenset()
    leaving: Mapping[str, date] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Everything that a check of packs together has to say."""

    items: tuple[Finding, ...]
    rules: int = 0

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings for which a pack is refused."""
        return tuple(finding for finding in self.items if finding.is_error)

    def of(self, code: Check) -> tuple[Finding, ...]:
        """Return the findings of one code."""
        return tuple(finding for finding in self.items if finding.code is code)
