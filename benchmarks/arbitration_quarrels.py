"""What the simulated world quarrels about: matters, who gets them by the rules, and who is right.

A quarrel is a matter at one authority. Between units the rules send it to `holder`, which says it
is `other`'s; between authorities and provinces the holder offers it to two others, who decline.
`right` is whom the panel finds responsible, always the same for one quarrel. What a ruling leads to
is the quarrel's habit: nothing (facts that no key catches), a precedent, or a precedent and then a
rule that a steward accepts or declines.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from gateway.kernel.codes import CaseLevel


class Habit(Enum):
    """What a ruling of a quarrel leads to."""

    ONCE = "once"
    PRECEDENT = "precedent"
    RULE = "rule"


@dataclass(frozen=True, slots=True)
class Quarrel:
    """One matter that somebody at an authority thinks is not theirs."""

    level: CaseLevel
    authority: str
    region: str
    matter: str
    holder: str  # a unit, or the authority
    others: tuple[str, ...]  # units, or authorities in the order in which they are asked
    right: str
    habit: Habit
    forbidden: str = ""  # a unit that a guard excludes, which a careless panel tries first


def _units(
    authority: str,
    region: str,
    matter: str,
    *kinds: str,
    habit: Habit,
    right: int = 1,
    forbidden: str = "",
) -> Quarrel:
    holder, *others = (f"units/{region}-{kind}-1" for kind in kinds)
    return Quarrel(
        CaseLevel.UNITS,
        authority,
        region,
        matter,
        holder,
        tuple(others),
        (holder, *others)[right],
        habit,
        f"units/{region}-{forbidden}-1" if forbidden else "",
    )


_CITIES = (("130100", "130102"), ("130600", "130602"), ("131000", "131002"), ("120000", "120101"))
UNITS = (
    tuple(
        quarrel
        for authority, region in _CITIES
        for quarrel in (
            _units(authority, region, "020401", "CG", "JT", habit=Habit.RULE),
            _units(authority, region, "020300", "CG", "ZG", habit=Habit.PRECEDENT),
            _units(authority, region, "060300", "SJ", "SWJ", habit=Habit.RULE),
            _units(authority, region, "020202", "CG", "ZJ", habit=Habit.PRECEDENT, right=0),
            _units(authority, region, "100500", "JY", "SJ", habit=Habit.PRECEDENT),
            _units(authority, region, "140301", "HB", "CG", habit=Habit.ONCE),
            _units(authority, region, "010700", "ZJ", "JT", habit=Habit.ONCE, right=0),
            _units(authority, region, "080300", "RS", "MZ", habit=Habit.ONCE),
            _units(authority, region, "160700", "NY", "SJ", habit=Habit.ONCE, right=0),
            _units(authority, region, "070400", "SWJ", "SJ", habit=Habit.ONCE),
        )
    )
    + tuple(
        # What the law-enforcers did is not theirs to judge: hb.guard.enforcement-conduct.
        _units(authority, region, "021100", "SF", "ZW", habit=Habit.ONCE, right=0, forbidden="CG")
        for authority, region in _CITIES[:3]
    )
    + tuple(
        # The tax office is managed by its own line: it is asked, and nobody here can bind it.
        _units(authority, region, "180700", "CZ", "SWU", habit=Habit.ONCE)
        for authority, region in _CITIES[:3]
    )
)


def _authorities(matter: str, right: str, habit: Habit) -> Quarrel:
    return Quarrel(
        CaseLevel.AUTHORITIES,
        "130100",
        "130102",
        matter,
        "130100",
        ("130600", "131000"),
        right,
        habit,
    )


AUTHORITIES = (
    _authorities("040500", "130100", Habit.PRECEDENT),
    _authorities("041300", "130100", Habit.ONCE),
    _authorities("040600", "130600", Habit.ONCE),
    _authorities("041400", "131000", Habit.ONCE),
)


def _provinces(matter: str, right: str, habit: Habit) -> Quarrel:
    return Quarrel(
        CaseLevel.PROVINCES,
        "120000",
        "120101",
        matter,
        "120000",
        ("310000", "130000"),
        right,
        habit,
    )


PROVINCES = (
    _provinces("070100", "120000", Habit.PRECEDENT),
    _provinces("070200", "120000", Habit.ONCE),
    _provinces("070300", "310000", Habit.ONCE),
    _provinces("070500", "130000", Habit.ONCE),
)
CALM = ("110100", "120100", "130100", "170100", "210100", "220100", "230100", "060100", "020100")
"""Matters that nobody quarrels about; each has a unit in every district."""
