"""The disputes of a demonstration as the arbiters show them, and how they are told. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from gateway.cli.output import pick
from gateway.kernel.codes import CaseLevel, CaseRulingForm, CaseState, RulingKind
from gateway.kernel.time import Instant

UNITS = "units/"
MINUTE, HOUR = 60, 3600


@dataclass(frozen=True, slots=True)
class CaseFile:
    """One dispute, as its arbiter shows it; names of codes as in the standard."""

    ticket: str
    state: str
    cause: str
    ruling: str = ""
    target: str = ""
    case: str = ""
    scope: str = ""
    level: str = ""
    form: str = ""
    parts: tuple[str, ...] = ()
    interim: str = ""  # who was named for the time being
    positions: int = 0
    minutes: bool = False
    filed: Instant | None = None
    named: Instant | None = None  # the first ruling of any kind
    ruled: Instant | None = None  # the newest ruling proper

    @property
    def facts(self) -> Mapping[str, object]:
        """What an expectation may name."""
        return {
            "state": self.state,
            "cause": self.cause,
            "level": self.level,
            "ruling": self.ruling,
            "target": self.target,
            "form": self.form,
            "parts": list(self.parts),
            "interim": self.interim,
            "positions": self.positions,
            "minutes": self.minutes,
            "within_hours": self._within_hours,
        }

    @property
    def _within_hours(self) -> int | None:
        """Within how many hours of business time somebody was named; None: nobody yet."""
        if self.filed is None or self.named is None:
            return None
        return -((self.filed - self.named) // timedelta(hours=1))


def short(file: CaseFile, names: Mapping[str, str]) -> str:
    """Return a dispute in the width of a column: where it stands, who ruled what, how long."""
    state = _word(CaseState, file.state)
    if file.ruled is None or file.filed is None:
        return pick(f"{state}，{_name(file.scope, names)}受理", f"{state} at {file.scope}")
    ruler, what = _name(file.scope, names), _ruled(file)
    span = _span(file.ruled - file.filed)
    return pick(f"{state}：{ruler}裁定{what}，{span}", f"{state}: {ruler} ruled {what} in {span}")


def told(file: CaseFile, names: Mapping[str, str]) -> list[str]:
    """Return a dispute in words, for the summary."""
    level = _word(CaseLevel, file.level)
    heard = [pick(f"{file.positions} 方陈述意见", f"{file.positions} positions")]
    if file.minutes:
        heard.append(pick("已会商并有纪要", "a conference with minutes"))
    found = [f"{pick('争议', 'dispute')} {file.case}: {level}, {', '.join(heard)}"]
    if file.interim and file.filed is not None and file.named is not None:
        found.append(
            pick("临时指定 ", "for the time being ")
            + _name(file.interim, names)
            + pick("，提请后 ", ", after ")
            + _span(file.named - file.filed)
        )
    if file.ruled is not None and file.filed is not None:
        who = _name(file.target, names)
        others = pick("、", ", ").join(_name(part, names) for part in file.parts)
        span = _span(file.ruled - file.filed)
        found.append(
            pick(
                f"{_name(file.scope, names)}裁定{_ruled(file)}：{who}承办"
                + (f"，{others}{_part(file)}" if others else "")
                + f"；提请后 {span}裁定，{_word(CaseState, file.state)}",
                f"{_name(file.scope, names)} ruled {_ruled(file)}: {who}"
                + (f", {_part(file)} {others}" if others else "")
                + f"; {span} after the filing, {_word(CaseState, file.state)}",
            )
        )
    return found


def newest_by_ticket(files: Sequence[CaseFile]) -> dict[str, CaseFile]:
    """Return the newest dispute of each ticket."""
    found: dict[str, CaseFile] = {}
    for file in files:
        known = found.get(file.ticket)
        if known is None or known.filed is None or (file.filed and file.filed > known.filed):
            found[file.ticket] = file
    return found


def _ruled(file: CaseFile) -> str:
    kind = _word(RulingKind, file.ruling)
    form = _word(CaseRulingForm, file.form or "UNSPECIFIED")
    return pick(f"{kind}·{form}", f"{kind}/{form}")


def _part(file: CaseFile) -> str:
    """Return what those beside the target do."""
    if file.form == CaseRulingForm.JOINT.name:
        return pick("同办，均须答复", "jointly, each answers,")
    return pick("协办", "assisted by")


def _word(codes: type[CaseState | CaseLevel | RulingKind | CaseRulingForm], name: str) -> str:
    if name not in codes.__members__:
        return name
    return pick(codes[name].zh, name)


def _name(party: str, names: Mapping[str, str]) -> str:
    code = party.removeprefix(UNITS)
    return names.get(code, code)


def _span(span: timedelta) -> str:
    """Return a span of business time."""
    seconds = int(span.total_seconds())
    hours, rest = divmod(seconds, HOUR)
    minutes, rest = divmod(rest, MINUTE)
    if hours:
        return pick(f"{hours} 小时 {minutes} 分", f"{hours} h {minutes} min")
    if not minutes:
        return pick(f"{rest} 秒", f"{rest} s")
    return pick(f"{minutes} 分 {rest} 秒", f"{minutes} min {rest} s")
