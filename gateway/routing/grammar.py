"""The form of a pack as data: which records, keys, words and bounds there are.

One value, `PACK`, from which everything about the form follows: what `document.py` reads and
translates, the order in which it writes, and the JSON Schema for editors (`schema.py`). What a form
cannot say (that a region is in use, that a condition compiles) is `parse.py`'s. The texts of keys
and words are in `words.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.routing import words
from gateway.routing.words import KEYS, Kept, Words

RULES_MAX = 20_000  # per pack: what 10 MB can hold
USES_MAX = 5_000
GUARDS_MAX = 50  # each is asked for each unit
TEMPLATES_MAX = 100
PARAMETERS_MAX = 10
ASSISTING_MAX = 10
NOTIFIED_MAX = 10
FALLBACK_TARGETS_MAX = 4
FALLBACK_HOURS_MAX = 720  # thirty days: longer than any limit of the service levels
HOURS_MAX = 4  # stretches of one day
LIST_LENGTH_MAX = 200  # codes in one selector
TEXT_LENGTH_MAX = 400  # a title, a legal basis, an explanation
CONDITION_LENGTH_MAX = 500
CLAUSE_ID_LENGTH_MAX = 80

CODE = "[1-9][0-9]{5}"
MATTER = "[0-9]{6}"
KIND = "[A-Z]+(?:_[A-Z]+)*"
UNIT = f"{CODE}-{KIND}-[1-9][0-9]{{0,3}}"
KIND_REF = f"{KIND}(?:-[1-9][0-9]{{0,3}})?"
CLAUSE_ID = r"[a-z0-9]+(?:-[a-z0-9]+)*(?:\.[a-z0-9]+(?:-[a-z0-9]+)*)+"
PARAMETER = "[a-z][a-z_]{0,29}"
PLACEHOLDER = rf"\$({PARAMETER})"
_TIME = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
HOURS = f"{_TIME}-(?:{_TIME}|24:00)"


@dataclass(frozen=True, slots=True)
class Text:
    """A text; `pattern` is matched whole. One of `words` may stand for it in either language."""

    length_max: int = TEXT_LENGTH_MAX
    pattern: str = ""
    example: str = ""
    words: Words | None = None


@dataclass(frozen=True, slots=True)
class Word:
    """One of some words."""

    words: Words


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number."""

    minimum: int
    maximum: int


@dataclass(frozen=True, slots=True)
class Day:
    """A day, or nothing when `is_open`."""

    is_open: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """A list; each value once when `is_set`."""

    item: Shape
    length_max: int = LIST_LENGTH_MAX
    length_min: int = 1
    is_set: bool = True


@dataclass(frozen=True, slots=True)
class Filled:
    """What a template's parameter is filled with: a text or a list of texts."""


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping whose keys are names of the author's own, as many as fit."""

    item: Shape
    length_max: int


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a record: its Chinese twin, what it holds, whether it must be there."""

    chinese: str
    shape: Shape
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """A mapping with known keys; of the keys `one_of` exactly one must be there.

    One of the keys `any_of` at least must be there. The order of the fields is that in which a pack
    is written.
    """

    name: str
    fields: Mapping[str, Field]
    one_of: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    _keys: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Know the keys in both languages."""
        self._keys.update({each.chinese: key for key, each in self.fields.items()})
        self._keys.update({key: key for key in self.fields})

    def key_of(self, text: str) -> str | None:
        """Return the English key of a key in either language, or None when it is neither."""
        return self._keys.get(text)


@dataclass(frozen=True, slots=True)
class Template:
    """A record in which `$name` may stand for any value: `$name` is filled in where it is used."""

    record: Record


Shape = Text | Word | Flag | Number | Day | Listing | Filled | Table | Record | Template


def _record(
    name: str,
    keys: Words,
    shapes: Mapping[str, Shape],
    *,
    required: tuple[str, ...] = (),
    one_of: tuple[str, ...] = (),
    any_of: tuple[str, ...] = (),
) -> Record:
    fields = {key: Field(keys[key], shape, key in required) for key, shape in shapes.items()}
    return Record(name, fields, one_of, any_of)


def _set_of(words: Words) -> Listing:
    return Listing(Word(words))


# What editors show; English and Chinese.
NOTES: Mapping[str, str] = {
    "pack.pack": "{owner}.{name}, as the file. 负责单位代码.名称，与文件同名。",
    "pack.templates": "Rules with parameters; only in the national pack. 只在国家规则包。",
    "pack.guards": "Only in packs of the nation and of provinces. 只在国家和省级规则包。",
    "pack.use": "Rules made from templates; they come after those written out. 由模板生成的规则。",
    "rule.id": "Kebab-case words joined by dots; never reused. 小写，用点连接，永不重用。",
    "rule.owner": "Who keeps it and answers for it. 谁维护、谁负责。",
    "rule.legal_basis": "Law or document; say so when its text was not checked. 未核对原文须注明。",
    "rule.effective_from": "First day on which it holds, Asia/Shanghai. 生效第一天。",
    "rule.effective_to": "First day on which it no longer holds, or null. 失效的第一天，或“无”。",
    "rule.explanation": "Why, in Chinese, for the unit that gets the ticket. 给承办单位看的理由。",
    "rule.notify": "Units that are told and hold nothing. 只知会，不承办。",
    "rule.unless_accepted_within": "Whom to ask when nobody accepts in time. 逾期未接时依次转谁。",
    "selectors.regions": "Regions with everything in them. 区划，含下级。",
    "selectors.matters": "Matters with everything below them. 事项，含下级。",
    "selectors.hours": "Stretches of the day, Asia/Shanghai; 22:00-06:00 crosses midnight. 时段。",
    "selectors.day_kinds": "By the published calendar. 按已公布的日历。",
    "selectors.destination": "State of the normal destination: a diversion. 去向状态，用于分流。",
    "selectors.if": "A CEL expression over `facts` (and `destination`). 条件表达式（CEL）。",
    "guard.withhold_identity": "Who does not learn who calls. 不向谁提供身份信息。",
    "template.rule": "A rule in which $name may stand for a value. 用 $参数名 代替取值。",
}
_REGIONS = Listing(Text(6, CODE, '"131082"'))
_MATTERS = Listing(Text(6, MATTER, '"041200"'))
_KINDS = Listing(Text(40, KIND, "JT"))
_ID = Text(CLAUSE_ID_LENGTH_MAX, CLAUSE_ID, "noise.night.construction")
_REF = Text(60, f"{UNIT}|{KIND_REF}", "131000-JT-1, JT or GY-2")

GUARD_SELECTORS = _record(
    "guard_selectors",
    KEYS[Kept.SELECTORS],
    {
        "regions": _REGIONS,
        "matters": _MATTERS,
        "types": _set_of(words.TYPES),
        "channels": _set_of(words.CHANNELS),
        "urgencies": _set_of(words.URGENCIES),
        "subject_kinds": _set_of(words.SUBJECT_KINDS),
        "risk_tags": _set_of(words.RISK_TAGS),
        "zones": Listing(Text(40)),
        "reported_kinds": _KINDS,
        "reported_unit": Flag(),
        "secrecy_required": Flag(),
        "on_boundary": Flag(),
        "hours": Listing(Text(11, HOURS, "22:00-06:00"), HOURS_MAX),
        "day_kinds": _set_of(words.DAY_KINDS),
    },
)
# A condition may fail to evaluate, and a guard must never let something pass for that; the state of
# a destination is no reason to lift one.
SELECTORS = Record(
    "selectors",
    {
        **GUARD_SELECTORS.fields,
        "destination": Field(KEYS[Kept.SELECTORS]["destination"], _set_of(words.CONDITIONS)),
        "if": Field(KEYS[Kept.SELECTORS]["if"], Text(CONDITION_LENGTH_MAX)),
    },
)
ASSIGN = _record(
    "assign",
    KEYS[Kept.ASSIGN],
    {
        "unit": Text(60, UNIT, "131000-JT-1"),
        "kind": Text(60, KIND_REF, "JT or GY-2"),
        "level": Word(words.LEVELS),
        "assist": Listing(_REF, ASSISTING_MAX),
        "mandate": Text(),
    },
    one_of=("unit", "kind"),
)
OFFER = _record(
    "offer",
    KEYS[Kept.OFFER],
    {"to": Text(20, CODE, 'place or "130000"', words.OFFER_TO)},
    required=("to",),
)
_NEXT_KEYS = ("unit", "kind", "mandate")  # of a fallback: one unit, nobody who assists
ACTION = _record(
    "action",
    KEYS[Kept.ACTION],
    {
        "assign": ASSIGN,
        "offer": OFFER,
        "refer": _record(
            "refer", KEYS[Kept.REFER], {"line": Word(words.LINES)}, required=("line",)
        ),
        "external": _record("external", KEYS[Kept.EXTERNAL], {"body": Text()}, required=("body",)),
        "triage": _record(
            "triage", KEYS[Kept.TRIAGE], {"question": Text()}, required=("question",)
        ),
        "merge": Record("merge", {}),
        "legal": _record(
            "legal", KEYS[Kept.LEGAL], {"reason": Word(words.REASONS)}, required=("reason",)
        ),
        "lead": _record(
            "lead", KEYS[Kept.REGION], {"region": Word(words.LEAD_REGIONS)}, required=("region",)
        ),
        "help": _record(
            "help", KEYS[Kept.REGION], {"region": Word(words.HELP_REGIONS)}, required=("region",)
        ),
        "split": Record("split", {}),
    },
    one_of=tuple(KEYS[Kept.ACTION]),
)
NEXT = _record(
    "next",
    KEYS[Kept.ACTION],
    {
        "assign": Record(
            "next_assign", {key: ASSIGN.fields[key] for key in _NEXT_KEYS}, one_of=("unit", "kind")
        ),
        "offer": OFFER,
    },
    one_of=("assign", "offer"),
)
_HOURS_NUMBER = Number(1, FALLBACK_HOURS_MAX)
FALLBACK = _record(
    "fallback",
    KEYS[Kept.FALLBACK],
    {
        "hours": _HOURS_NUMBER,
        "working_hours": _HOURS_NUMBER,
        "then": Listing(NEXT, FALLBACK_TARGETS_MAX, is_set=False),
    },
    required=("then",),
    one_of=("hours", "working_hours"),
)
_CLAUSE: Mapping[str, Shape] = {
    "id": _ID,
    "owner": Text(100),
    "legal_basis": Text(),
    "effective_from": Day(),
    "effective_to": Day(is_open=True),
}
_CLAUSE_REQUIRED = (*_CLAUSE, "explanation")
RULE = _record(
    "rule",
    {**KEYS[Kept.CLAUSE], **KEYS[Kept.RULE]},
    {
        **_CLAUSE,
        "when": SELECTORS,
        "then": ACTION,
        "notify": Listing(_REF, NOTIFIED_MAX),
        "unless_accepted_within": FALLBACK,
        "explanation": Text(),
    },
    required=(*_CLAUSE_REQUIRED, "then"),
)
FORBID = _record(
    "forbid",
    KEYS[Kept.FORBID],
    {"reported": Flag(), "kinds": _KINDS, "managements": _set_of(words.MANAGEMENTS)},
    any_of=("reported", "kinds", "managements"),
)
GUARD = _record(
    "guard",
    {**KEYS[Kept.CLAUSE], **KEYS[Kept.GUARD]},
    {
        **_CLAUSE,
        "when": GUARD_SELECTORS,
        "forbid": FORBID,
        "withhold_identity": _set_of(words.TOLD),
        "unless": _set_of(words.UNLESS),
        "explanation": Text(),
    },
    required=_CLAUSE_REQUIRED,
    any_of=("forbid", "withhold_identity"),
)
TEMPLATE_RULE = Record(
    "template_rule",
    {
        key: RULE.fields[key]
        for key in (
            "legal_basis",
            "when",
            "then",
            "notify",
            "unless_accepted_within",
            "explanation",
        )
    },
)
TEMPLATE = _record(
    "template",
    KEYS[Kept.TEMPLATE],
    {
        "id": _ID,
        "title": Text(100),
        "parameters": Table(Text(100), PARAMETERS_MAX),
        "example": Table(Filled(), PARAMETERS_MAX),
        "rule": Template(TEMPLATE_RULE),
    },
    required=("id", "title", "parameters", "example", "rule"),
)
USE = _record(
    "use",
    {**KEYS[Kept.CLAUSE], **KEYS[Kept.USE]},
    {
        **_CLAUSE,
        "template": _ID,
        "with": Table(Filled(), PARAMETERS_MAX),
        "explanation": Text(),
    },
    required=("id", "owner", "effective_from", "effective_to", "template", "with"),
)
PACK = _record(
    "pack",
    KEYS[Kept.PACK],
    {
        "pack": Text(60, rf"{CODE}\.[a-z0-9.-]{{1,53}}", "131000.langfang"),
        "owner": Text(6, CODE, '"131000"'),
        "title": Text(100),
        "templates": Listing(TEMPLATE, TEMPLATES_MAX, 0, is_set=False),
        "guards": Listing(GUARD, GUARDS_MAX, 0, is_set=False),
        "use": Listing(USE, USES_MAX, 0, is_set=False),
        "rules": Listing(RULE, RULES_MAX, 0, is_set=False),
    },
    required=("pack", "owner", "title", "rules"),
)
