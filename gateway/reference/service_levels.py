"""Service levels: how long each step may take, from layered profiles.

A profile row states some limits for a region, ticket types, urgencies, a matter and a scope, with
its source. `profile_for` composes the level limit by limit: each limit comes from the first fitting
row that states it, so a city writes only what differs (nation → province → city). The nation's rows
are in `service_levels.yaml`, those of an authority in `service_levels/{authority}.yaml`, where they
bind nobody outside its area. A row holds from `effective_from` until before `effective_to` (empty:
always), seen from the day of receipt. Rows are tried:
statutory ones first (a law's own limit overrides a hotline's), then the smallest region, the most
exact matter, rows of one scope before rows of both, rows that name urgencies, rows that name types,
the newest, the id. One national row is the floor: it states every limit, always and for every
ticket, so `profile_for` is total (`is_floor`; a set without one does not load).

A ticket that leaves its province is timed by rows of scope `cross_region` or `both` only, so no
city's own promise binds another province. Urgent limits are natural: fire does not wait for
Monday. See docs/reference.md#service-levels.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from datetime import date, timedelta
from enum import Enum
from typing import NamedTuple, assert_never

from gateway.kernel.ids import NATION
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass, replace
from gateway.reference.calendar import Calendar, Due
from gateway.reference.matters import matter_path
from gateway.reference.regions import Regions
from gateway.reference.tables import Findings, Shape

TICKET_TYPES = range(1, 8)  # TT of the standard: 咨询 求助 投诉 举报 建议 表扬 其他
URGENCIES = range(1, 5)  # UR of the standard: 特急 紧急 一般 缓办
URGENT = frozenset({1, 2})
AMOUNT_MAX = 1000  # about four working years; the calendar's search ends long after
_LIMIT = re.compile(
    r"(?P<amount>[1-9][0-9]*) (?P<unit>natural_minutes|natural_hours|working_hours|working_days)"
)
_FILE_OF = re.compile(r"/(?P<code>[1-9][0-9]{5})\.yaml$")
_PROFILE_KEYS = (
    "id",
    "region",
    "ticket_types",
    "urgencies",
    "matter",
    "scope",
    "statutory",
    "effective_from",
    "effective_to",
    "limits",
    "source",
)


class LimitUnit(Enum):
    """What a limit counts; the value is the word in the data."""

    NATURAL_MINUTES = "natural_minutes"
    NATURAL_HOURS = "natural_hours"
    WORKING_HOURS = "working_hours"
    WORKING_DAYS = "working_days"


class Step(Enum):
    """A step that has a limit; the value is the word in the data."""

    DISPATCH = "dispatch"  # 派单: from receipt to the first assignment or offer
    ANSWER = "answer"  # 对方确认: from an offer to the other authority's answer
    SIGN = "sign"  # 签收
    CONTACT = "contact"  # 首次联系
    RESOLVE = "resolve"  # 办结
    EXTENSION = "extension_max"  # 延期上限
    RETURN = "return_window"  # 退单: from the assignment to its return
    REVIEW = "return_review"  # 退单复核: from a return to the desk's decision
    REQUEST = "unit_request"  # 商请: from a request to the answer of a vertically managed body


class Scope(Enum):
    """Which tickets a row times: those that stay in their province, those that leave, all."""

    LOCAL = "local"
    CROSS_REGION = "cross_region"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Limit:
    """An amount of time with its unit."""

    amount: int
    unit: LimitUnit

    def __str__(self) -> str:
        """Return the text form of the data."""
        return f"{self.amount} {self.unit.value}"

    @property
    def is_natural(self) -> bool:
        """Tell whether it runs day and night."""
        return self.unit in {LimitUnit.NATURAL_MINUTES, LimitUnit.NATURAL_HOURS}

    def end(self, start: Instant, calendar: Calendar) -> Due:
        """Return when the limit that began at `start` ends."""
        match self.unit:
            case LimitUnit.NATURAL_MINUTES:
                return Due(start + timedelta(minutes=self.amount))
            case LimitUnit.NATURAL_HOURS:
                return calendar.add_natural_hours(start, self.amount)
            case LimitUnit.WORKING_HOURS:
                return calendar.add_working_hours(start, self.amount)
            case LimitUnit.WORKING_DAYS:
                return calendar.add_working_days(start, self.amount)
            case _ as never:
                assert_never(never)


DEFAULTS: Mapping[Step, tuple[Limit, Limit]] = {
    Step.RETURN: (Limit(4, LimitUnit.WORKING_HOURS), Limit(2, LimitUnit.NATURAL_HOURS)),
    Step.REVIEW: (Limit(1, LimitUnit.WORKING_DAYS), Limit(4, LimitUnit.NATURAL_HOURS)),
    Step.REQUEST: (Limit(1, LimitUnit.WORKING_DAYS), Limit(2, LimitUnit.NATURAL_HOURS)),
}
"""Limits that no row need state: those of ordinary and of urgent tickets."""
_STATED = Limit(1, LimitUnit.WORKING_DAYS)  # of no meaning: some row states it
FLOOR_STEPS = tuple(step for step in Step if step not in DEFAULTS)


@dataclass(frozen=True, slots=True)
class Profile:
    """One row: the limits it states and the tickets it states them for (empty: all)."""

    profile_id: str
    region: str
    source: str
    effective_from: date | None = None
    effective_to: date | None = None
    limits: Mapping[Step, Limit] = field(default_factory=dict)
    ticket_types: tuple[int, ...] = ()
    urgencies: tuple[int, ...] = ()
    matter: str | None = None
    scope: Scope = Scope.LOCAL
    is_statutory: bool = False

    def holds_on(self, day: date) -> bool:
        """Tell whether the row is in force on a day."""
        return (self.effective_from is None or self.effective_from <= day) and (
            self.effective_to is None or day < self.effective_to
        )


@dataclass(frozen=True, slots=True)
class ServiceLevel:
    """The limits of one ticket; `origins` names the row that each came from."""

    dispatch: Limit
    answer: Limit
    sign: Limit
    contact: Limit
    resolve: Limit
    extension_max: Limit
    return_window: Limit
    return_review: Limit
    unit_request: Limit
    origins: tuple[tuple[Step, str], ...]


@dataclass(frozen=True, slots=True)
class DueTimes:
    """When each step is due; provisional when any of them counted an unpublished year."""

    dispatch_due: Instant
    sign_due: Instant
    contact_due: Instant
    resolve_due: Instant
    provisional: bool


FOUND_MAX = 10_000  # limits remembered: a node's matters over some days


class _Asked(NamedTuple):
    """What the limits of a ticket depend on."""

    region: str
    ticket_type: int
    urgency: int
    matter: str
    on: date
    cross_region: bool


class ServiceLevels:
    """All profile rows over the regions."""

    def __init__(self, profiles: Iterable[Profile], *, regions: Regions) -> None:
        """Keep the rows; one of them must be the floor."""
        self._profiles = tuple(profiles)
        self._regions = regions
        self._found: dict[_Asked, ServiceLevel] = {}

    def __iter__(self) -> Iterator[Profile]:
        """Iterate over the rows."""
        return iter(self._profiles)

    def profile_for(
        self,
        *,
        region: str,
        ticket_type: int,
        urgency: int,
        matter: str,
        on: date,
        cross_region: bool,
    ) -> ServiceLevel:
        """Return the limits of a ticket that `region` received; total for assigned regions."""
        asked = _Asked(region, ticket_type, urgency, matter, on, cross_region)
        found = self._found.get(asked)
        if found is None:
            if len(self._found) >= FOUND_MAX:
                self._found.clear()
            found = self._found[asked] = self._choose(asked)
        return found

    def _choose(self, asked: _Asked) -> ServiceLevel:
        regions, matters = self._regions.path(asked.region), matter_path(asked.matter)
        other_scope = Scope.LOCAL if asked.cross_region else Scope.CROSS_REGION
        fitting = [
            row
            for row in self._profiles
            if row.region in regions
            and (not row.ticket_types or asked.ticket_type in row.ticket_types)
            and (not row.urgencies or asked.urgency in row.urgencies)
            and (row.matter is None or row.matter in matters)
            and row.holds_on(asked.on)
            and row.scope is not other_scope
        ]
        fitting.sort(
            key=lambda row: (
                not row.is_statutory,
                regions.index(row.region),
                matters.index(row.matter) if row.matter else len(matters),
                row.scope is Scope.BOTH,
                not row.urgencies,
                not row.ticket_types,
                -row.effective_from.toordinal() if row.effective_from else 0,
                row.profile_id,
            )
        )
        chosen = {
            step: next(
                ((row.limits[step], row.profile_id) for row in fitting if step in row.limits),
                _default(step, asked.urgency),
            )
            for step in Step
        }
        return ServiceLevel(
            dispatch=chosen[Step.DISPATCH][0],
            answer=chosen[Step.ANSWER][0],
            sign=chosen[Step.SIGN][0],
            contact=chosen[Step.CONTACT][0],
            resolve=chosen[Step.RESOLVE][0],
            extension_max=chosen[Step.EXTENSION][0],
            return_window=chosen[Step.RETURN][0],
            return_review=chosen[Step.REVIEW][0],
            unit_request=chosen[Step.REQUEST][0],
            origins=tuple((step, chosen[step][1]) for step in Step),
        )


def _default(step: Step, urgency: int) -> tuple[Limit, str]:
    """Return the limit that holds where no row states one; the floor states all of the others."""
    ordinary, urgent = DEFAULTS.get(step, (_STATED, _STATED))
    return (urgent if urgency in URGENT else ordinary), "default"


def is_floor(row: Profile) -> bool:
    """Tell whether a row states every limit that has no default for every ticket, always."""
    has_no_condition = not (row.ticket_types or row.urgencies or row.matter)
    is_always = row.effective_from is None and row.effective_to is None
    is_everywhere = row.region == NATION and row.scope is Scope.BOTH
    states_all = all(step in row.limits for step in FLOOR_STEPS)
    return has_no_condition and is_always and is_everywhere and states_all


def due(
    profile: ServiceLevel, start: Instant, calendar: Calendar, *, dispatched: Instant | None = None
) -> DueTimes:
    """Return the due times of a ticket received at `start`.

    The dispatch clock starts at `start`. The handling clock starts at `dispatched` or when the
    dispatch limit ends, whichever is first, so leaving a ticket in the tray gains nothing; without
    `dispatched` it starts at `start` too (dispatched the moment it came).
    """
    dispatch = profile.dispatch.end(start, calendar)
    handling = start if dispatched is None else min(dispatched, dispatch.instant)
    sign = profile.sign.end(handling, calendar)
    contact = profile.contact.end(handling, calendar)
    resolve = profile.resolve.end(handling, calendar)
    return DueTimes(
        dispatch_due=dispatch.instant,
        sign_due=sign.instant,
        contact_due=contact.instant,
        resolve_due=resolve.instant,
        provisional=any(each.provisional for each in (dispatch, sign, contact, resolve)),
    )


def recompute(
    profile: ServiceLevel,
    start: Instant,
    calendar: Calendar,
    *,
    dispatched: Instant | None,
    extended_to: Instant | None = None,
) -> DueTimes:
    """Return the due times of a ticket again, now that a year of the calendar was published.

    `profile` is the one that timed the ticket. Nobody dispatched it yet (None): its handling clock
    starts when the dispatch limit ends. A granted extension is never shortened: it was granted up
    to `extended_to`, an instant, and a later due time takes its place only by being later.
    """
    waits_until = profile.dispatch.end(start, calendar).instant
    times = due(profile, start, calendar, dispatched=dispatched or waits_until)
    if extended_to is None or extended_to <= times.resolve_due:
        return times
    return replace(times, resolve_due=extended_to)


def parse_limit(text: str) -> Limit | None:
    """Return the limit of a text like `15 working_days`, or None when it does not parse."""
    found = _LIMIT.fullmatch(text)
    if found is None or int(found["amount"]) > AMOUNT_MAX:
        return None
    return Limit(int(found["amount"]), LimitUnit(found["unit"]))


def parse_service_levels(
    files: Mapping[str, object], *, regions: Regions, findings: Findings
) -> tuple[Profile, ...]:
    """Return the rows of the nation's file (the first) and of those of authorities.

    The name of an authority's file is its code; what is wrong is noted.
    """
    profiles: dict[str, Profile] = {}
    for file, value in files.items():
        owner = _FILE_OF.search(file)
        shape = Shape.of(value, location=file, known=("profiles",), findings=findings)
        for entry in shape.shapes("profiles", known=_PROFILE_KEYS):
            profile = _parse_profile(entry)
            if profile.profile_id in profiles:
                findings.note(
                    location=entry.location,
                    problem=f"profile {profile.profile_id} is there twice",
                    advice="Give every profile an id of its own",
                )
            if owner and not regions.is_within(profile.region, owner["code"]):
                findings.note(
                    location=entry.location,
                    problem=f"region {profile.region} is outside {owner['code']}",
                    advice="Time only tickets of the authority's own area",
                )
            profiles[profile.profile_id] = profile
    if not any(is_floor(profile) for profile in profiles.values()):
        findings.note(
            location=next(iter(files), "service_levels.yaml"),
            problem="no national profile states every limit for every ticket",
            advice=f"Add one of region {NATION}, scope both, without conditions, with all of "
            + ", ".join(step.value for step in FLOOR_STEPS),
        )
    return tuple(profiles.values())


def _parse_profile(entry: Shape) -> Profile:
    scopes = {scope.value: scope for scope in Scope}
    scope = entry.text("scope", default=Scope.LOCAL.value)
    if scope not in scopes:
        entry.findings.note(
            location=f"{entry.location}.scope",
            problem=f"got {scope!r}",
            advice=f"Give one of {', '.join(scopes)}",
        )
    return Profile(
        profile_id=entry.text("id"),
        region=entry.text("region"),
        source=entry.text("source"),
        effective_from=entry.day("effective_from") if "effective_from" in entry.values else None,
        effective_to=entry.day("effective_to") if "effective_to" in entry.values else None,
        limits=_parse_limits(entry),
        ticket_types=entry.numbers("ticket_types"),
        urgencies=entry.numbers("urgencies"),
        matter=entry.text("matter", default="") or None,
        scope=scopes.get(scope, Scope.LOCAL),
        is_statutory=entry.flag("statutory", default=False),
    )


def _parse_limits(entry: Shape) -> dict[Step, Limit]:
    shape = Shape.of(
        entry.values.get("limits"),
        location=f"{entry.location}.limits",
        known=tuple(step.value for step in Step),
        findings=entry.findings,
    )
    limits: dict[Step, Limit] = {}
    for step in Step:
        if step.value not in shape.values:
            continue
        text = shape.text(step.value)
        if (limit := parse_limit(text)) is None:
            shape.findings.note(
                location=f"{shape.location}.{step.value}",
                problem=f"got {text!r}",
                advice="Write it as 15 working_days, 24 natural_hours, 4 working_hours "
                f"or 30 natural_minutes, at most {AMOUNT_MAX}",
            )
            continue
        limits[step] = limit
    return limits
