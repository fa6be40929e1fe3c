"""A ruling in words of the rule language: the rule that would have decided as it did. Pure.

Such a rule selects what the key of the precedent says (matter, type, the facts that count) and does
what the ruling did: between units it assigns the ticket to the unit of the ruled kind, with the
assisting kinds; between authorities it sends the ticket to the place. The first match of a pack
wins, so it stands right before the rule that decided the disputed ticket: what stands before that
did not decide it, and goes on to win over the new rule as it did over the old one. Where none of
the authority's own rules decided, it is the last of them. What the rule language cannot say is told
as an obstacle, and then the precedent alone keeps the quarrel from coming again.

The text of a pack stays as its people wrote it: the rule is put in as lines. Only a pack whose form
leaves no room for that (`rules: []`) is written anew in its canonical form.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from gateway.arbitration.precedents.model import ANY, Precedent, Role, SeatPart
from gateway.kernel.codes import CaseLevel, CaseRulingForm, NoiseSource, TicketType
from gateway.routing.document import Document, load_document, write_document
from gateway.routing.reading import Value
from gateway.tickets.disputes import RULED_RULE

OWN_PACK = "rulings"  # of an authority that has no pack yet
BASIS_SHOWN_MAX = 300  # of the ruling's basis in that of the rule
_RULES = re.compile(r"^(?:rules|规则):[ \t]*(?:#.*)?$", re.MULTILINE)
_ITEM = re.compile(r"^( *)- ", re.MULTILINE)
_INDENT = "  "  # of an item in the canonical text
_NO_ID = re.compile(r"[^a-z0-9]+")
Values = dict[str, Value]


@dataclass(frozen=True, slots=True)
class Proposed:
    """A rule for a pack: its id, its text as the pack would have it, and the whole pack."""

    rule: str
    text: str
    pack: str
    source: bytes


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why no rule can say what a ruling said, in Chinese."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruled:
    """What a rule is made of: the precedent, between whom it was, and where."""

    precedent: Precedent
    level: CaseLevel
    region: str
    target: str
    today: date
    has_finer: bool = False  # the catalogue has matters below this one, which the key does not mean


def rule_id(case_id: str, ruling: int) -> str:
    """Return the id of the rule that cites a ruling."""
    return f"{RULED_RULE}{_NO_ID.sub('-', case_id.lower()).strip('-')}.r{ruling}"


def propose(
    ruled: Ruled, *, pack: str, source: bytes | None, before: str = ""
) -> Proposed | Obstacle:
    """Return the rule and the pack with it; `source` None: the authority has no pack of its own.

    It stands right before the rule `before`, or last where the pack has none of that id; rules made
    from templates come after all that are written out.
    """
    action = _action(ruled)
    if isinstance(action, Obstacle):
        return action
    if source is None:
        document = Document({"pack": pack, "owner": ruled.precedent.key.scope, "rules": []})
        owner = title = "争议裁定形成的规则"
        document.content["title"] = title
    else:
        document = load_document(source, name=pack)
        if document.has_errors:
            return Obstacle("现行规则包无法读取")
        owner = _owner(document)
    rule = _rule(ruled, action, owner)
    rules = document.content.get("rules")
    known = rules if isinstance(rules, list) else []
    ids = [item.get("id") if isinstance(item, dict) else None for item in known]
    place = ids.index(before) if before in ids else len(ids)
    whole = {**document.content, "rules": [*known[:place], rule, *known[place:]]}
    text = write_document(Document({"rules": [rule]})).decode().partition("\n")[2]
    written = None if source is None else _put_in(source, text, whole, place)
    return Proposed(
        rule=rule_id(ruled.precedent.case.case, ruled.precedent.ruling),
        text=text,
        pack=pack,
        source=written or write_document(Document(whole)),
    )


# --- parts ----------------------------------------------------------------------------------------


def _rule(ruled: Ruled, action: Values, owner: str) -> Values:
    precedent = ruled.precedent
    case, number = precedent.case.case, precedent.ruling
    basis = precedent.legal_basis[:BASIS_SHOWN_MAX].strip()
    return {
        "id": rule_id(case, number),
        "owner": owner,
        "legal_basis": f"争议 {case} 第 {number} 号裁定：{basis}",
        "effective_from": ruled.today.isoformat(),
        "effective_to": None,
        "when": _when(ruled),
        "then": action,
        "explanation": f"同类争议已经裁定（争议 {case}），照此办理",
    }


def _when(ruled: Ruled) -> Values:
    key, found = ruled.precedent.key, dict[str, Value]()
    if _is_local(ruled):
        found["regions"] = [ruled.region]
    found["matters"] = [key.matter]
    if key.type is not TicketType.UNSPECIFIED:
        found["types"] = [key.type.name.lower()]
    conditions: list[str] = [f"facts.matter == '{key.matter}'"] if ruled.has_finer else []
    for fact in key.facts:
        name, _, value = fact.partition("=")
        if fact != ANY:
            _FACTS[name](value, found, conditions)
    if conditions:
        found["if"] = " && ".join(conditions)
    return found


def _is_local(ruled: Ruled) -> bool:
    """Tell whether a ruling between units speaks of one unit, not of a kind: of one place, then."""
    is_named = ruled.precedent.seat.role not in {Role.KIND, Role.DESK}
    return ruled.level is CaseLevel.UNITS and is_named and bool(ruled.region)


def _action(ruled: Ruled) -> Values | Obstacle:
    precedent = ruled.precedent
    match ruled.level, precedent.form, precedent.seat.role:
        case CaseLevel.PROVINCES, _, _:
            return Obstacle("省际争议由先例直接适用，全国不持有各省的规则包")
        case _, CaseRulingForm.UNSPECIFIED | CaseRulingForm.LEAD_ASSIST, _:
            pass
        case _, form, _:
            return Obstacle(f"规则语言不能表达裁定形式 {form.name}")
    if ruled.level is CaseLevel.UNITS:
        return _assignment(ruled)
    if precedent.form is CaseRulingForm.LEAD_ASSIST:
        return Obstacle("机构之间的主办协办不能写成规则")
    if precedent.seat.role is Role.PLACE:
        return {"offer": {"to": "place"}}
    return Obstacle(f"承接角色 {precedent.seat.word} 因案而异，不能写成规则")


def _assignment(ruled: Ruled) -> Values | Obstacle:
    seat, parts = ruled.precedent.seat, ruled.precedent.parts
    if seat.role is Role.DESK:
        return {"triage": {"question": "同类争议裁定由研判席办理"}}
    to: Values = {"kind": seat.kind}
    if seat.role is not Role.KIND:
        if not ruled.region:
            return Obstacle("承接单位不是当地同类单位，地点又不明，不能写成规则")
        to = {"unit": ruled.target.removeprefix("units/")}
    assisting = [_kind(part) for part in parts]
    if None in assisting:
        return Obstacle("协办单位不是当地某类单位，不能写成规则")
    if assisting:
        to["assist"] = [kind for kind in assisting if kind is not None]
    return {"assign": to}


def _kind(part: SeatPart) -> str | None:
    return part.seat.kind if part.seat.role is Role.KIND else None


def _flag_of(name: str) -> Callable[[str, Values, list[str]], None]:
    def add(value: str, _found: Values, conditions: list[str]) -> None:
        conditions.append(f"{'' if value == 'yes' else '!'}facts.{name}")

    return add


def _text_of(name: str) -> Callable[[str, Values, list[str]], None]:
    def add(value: str, _found: Values, conditions: list[str]) -> None:
        conditions.append(f"facts.{name} == '{value}'")

    return add


def _noise(value: str, _found: Values, conditions: list[str]) -> None:
    name = value.upper() or NoiseSource.UNSPECIFIED.name
    conditions.append(f"facts.noise_source == NoiseSource.NOISE_SOURCE_{name}")


def _boundary(value: str, found: Values, _conditions: list[str]) -> None:
    found["on_boundary"] = value == "yes"


def _reported(value: str, found: Values, _conditions: list[str]) -> None:
    if value:
        found["reported_kinds"] = list[Value](value.split("+"))
    else:
        found["reported_unit"] = False


_FACTS: dict[str, Callable[[str, Values, list[str]], None]] = {
    "at_night": _flag_of("at_night"),
    "industry": _text_of("industry"),
    "noise_source": _noise,
    "on_boundary": _boundary,
    "owner_unknown": _flag_of("owner_unknown"),
    "reported_kinds": _reported,
    "zone": _text_of("zone"),
}


def _owner(document: Document) -> str:
    """Return who keeps the rules of a pack: as its first rule says, else its title."""
    rules = document.top.parts("rules")
    return (rules[0].text("owner") if rules else "") or document.top.text("title")


def _put_in(source: bytes, text: str, whole: Values, place: int) -> bytes | None:
    """Return the pack's own text with the rule in its place, or None where it has no room."""
    given = source.decode()
    head = _RULES.search(given)
    if head is None:
        written = f"{given.rstrip()}\n\nrules:\n{text}" if "rules:" not in given else ""
    else:
        item = _ITEM.search(given, head.end())
        indent = item[1] if item is not None else _INDENT
        lines = given[head.end() :].removeprefix("\n").splitlines(keepends=True)
        at = _line_of(lines, place, indent)
        put = "".join((*_ended(lines[:at]), _indented(text, indent), *lines[at:]))
        written = f"{given[: head.end()]}\n{put}"
    document = load_document(written.encode())
    fits = not document.has_errors and document.content == whole
    return written.encode() if fits else None


def _line_of(lines: list[str], place: int, indent: str) -> int:
    """Return before which line the rule stands: its place among the items, or after the last one.

    Remarks above an item stay with it.
    """
    item, at, end = f"{indent}- ", 0, 0
    for number, line in enumerate(lines):
        if line.startswith(item):
            if place == 0:
                at = number
                while at and lines[at - 1].lstrip().startswith("#"):
                    at -= 1
                return at
            place -= 1
        elif line[:1] not in (" ", "#", "\n", "\r"):
            break  # the next key of the pack
        if line.strip() and not line.startswith("#"):
            end = number + 1
    return end


def _ended(lines: list[str]) -> list[str]:
    """Return lines of which also the last one ends, as a file's last one may not."""
    return lines if not lines or lines[-1].endswith("\n") else [*lines[:-1], f"{lines[-1]}\n"]


def _indented(text: str, indent: str) -> str:
    lines = text.splitlines()
    return "".join(f"{indent}{line.removeprefix(_INDENT)}\n" for line in lines)
