"""What the values of a pack are held against: reference data, the owner's area, CEL.

Each check notes what is wrong, with what to write instead, in both languages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gateway.reference.regions import Level
from gateway.reference.units import UnitRef, parse_unit_ref
from gateway.routing.facts import Conditions
from gateway.routing.model import Reference
from gateway.routing.nodes import Reader, shown


@dataclass(frozen=True, slots=True)
class Scope:
    """The surroundings of one pack; `owner` is empty when it is not known."""

    notes: Reader
    reference: Reference
    conditions: Conditions
    owner: str

    def note(self, line: int, problem: str, advice: str, zh: str, *, code: str = "value") -> None:
        """Add an error; `zh` are problem and advice in Chinese, with a bar between."""
        problem_zh, _, advice_zh = zh.rpartition("|")
        self.notes.note(line, problem, advice, zh=(problem_zh, advice_zh), code=code)

    def kept(
        self, texts: Iterable[tuple[str, int]], is_known: Callable[[str, int], bool]
    ) -> tuple[str, ...]:
        """Return the texts that a check lets pass."""
        return tuple(text for text, line in texts if is_known(text, line))

    def is_area(self, code: str, line: int) -> bool:
        """Tell whether a region is in use and inside the owner's area."""
        regions = self.reference.regions
        if regions.current(code) is None:
            self.note(
                line,
                f"region {shown(code)} is not in use",
                "Give a six-digit code of areacodes.csv that is in use today",
                f"区划 {shown(code)} 不是现行区划|用 areacodes.csv 中现行的六位代码",
                code="unknown-region",
            )
            return False
        if self.owner and not regions.is_within(code, self.owner):
            self.note(
                line,
                f"region {code} is outside {self.owner}",
                "Rule only over the owner's area",
                f"区划 {code} 不在 {self.owner} 范围内|只能规定本辖区",
                code="foreign-region",
            )
            return False
        return True

    def is_matter(self, code: str, line: int) -> bool:
        """Tell whether the catalogue has a matter."""
        if code in self.reference.matters:
            return True
        self.note(
            line,
            f"matter {shown(code)} is not known",
            "Use a code of matters.csv",
            f"事项目录没有 {shown(code)}|用 matters.csv 中的代码",
            code="unknown-matter",
        )
        return False

    def is_zone(self, zone: str, line: int) -> bool:
        """Tell whether a functional zone is known."""
        if zone in self.reference.zones:
            return True
        self.note(
            line,
            f"zone {shown(zone)} is not known",
            "Use a zone of zones.csv",
            f"没有功能区 {shown(zone)}|用 zones.csv 中的功能区",
            code="unknown-zone",
        )
        return False

    def is_kind(self, kind: str, line: int) -> bool:
        """Tell whether a kind of body is known."""
        if kind in self.reference.kinds:
            return True
        self.note(
            line,
            f"kind {shown(kind)} is not known",
            "Use a kind of org_kinds.csv",
            f"没有单位类别 {shown(kind)}|用 org_kinds.csv 中的类别代码",
            code="unknown-kind",
        )
        return False

    def is_authority(self, code: str, line: int) -> bool:
        """Tell whether a code is that of a province or city in use."""
        region = self.reference.regions.current(code)
        if region is not None and region.level in {Level.PROVINCE, Level.CITY}:
            return True
        self.note(
            line,
            f"offer to {shown(code)}",
            "Name `place`, `registration`, `insurance`, or a province or city by its code in use",
            f"不能移交给 {shown(code)}|写“事发地”“登记注册地”“参保地”，或现行省、市代码",
            code="unknown-authority",
        )
        return False

    def ref(self, text: str, line: int) -> UnitRef | None:
        """Return what a text points at, or None after noting that there is no such thing."""
        ref = parse_unit_ref(text)
        if ref is None:
            return None
        if ref.unit_id is None:
            return ref if self.is_kind(ref.kind, line) else None
        unit = self.reference.units.find(ref.unit_id)
        if unit is None or not self.reference.regions.is_within(unit.authority, self.owner):
            self.note(
                line,
                f"unit {ref.unit_id} is not one of {shown(self.owner)}",
                "Use a unit of the owner or of its cities from units/*.csv",
                f"{ref.unit_id} 不是 {self.owner} 的单位|用 units/*.csv 中本级或所辖市的单位",
                code="unknown-unit",
            )
            return None
        return ref
