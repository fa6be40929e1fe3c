"""The two answers that a trial compares: with which packs, data and day each is given.

Pure but for its cost: parsing a big pack takes a second, so the service prepares scenes in a worker
thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from gateway.kernel.errors import FieldInvalid
from gateway.kernel.ids import NATION
from gateway.kernel.time import SHANGHAI, Instant
from gateway.rehearsal.comparing import first_day, in_force
from gateway.rehearsal.model import Past
from gateway.routing.evaluate import decide
from gateway.routing.model import Conditions, Decision, Pack, Reference
from gateway.routing.packs import PackSet, refuse
from gateway.routing.parse import parse_pack
from gateway.routing.templates import templates_of

_NAME = re.compile(r"^\ufeff?(?:pack|规则包)\s*[:：]\s*[\"']?([^\s\"'#]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One way to answer where tickets go; `day` None: each on its own day."""

    packs: PackSet
    reference: Reference
    hosted: frozenset[str]
    joined: frozenset[str]
    day: date | None = None

    def decide(self, past: Past) -> Decision:
        """Return where a past ticket goes here, with the facts that it had."""
        return decide(
            past.facts,
            authority=past.authority,
            hosted=self.hosted,
            joined=self.joined,
            packs=self.packs,
            reference=self.reference,
            now=past.now if self.day is None else at_that_hour(past.now, on=self.day),
            states={state.target: state for state in past.states},
        )


@dataclass(frozen=True, slots=True)
class Stage:
    """Both scenes of a trial, what they are called, and the day whose rules they compare."""

    before: Scene
    after: Scene
    baseline: str
    draft: str
    on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Givens:
    """What a stage is made of: what is in force, and what a trial asks for."""

    authority: str
    packs: PackSet
    reference: Reference
    hosted: frozenset[str]
    joined: frozenset[str]
    conditions: Conditions
    today: date
    sources: Sequence[bytes] = ()
    baseline_sources: Sequence[bytes] = ()
    on: date | None = None
    preview_on: date | None = None
    planned: Reference | None = None  # reference data for the second answer


def set_stage(givens: Givens) -> Stage:
    """Return the stage of a trial.

    Raises:
        RulePackInvalid: a source has errors.
        FieldInvalid: a pack does not count for the authority.
    """
    owners = givens.packs.owners(
        authority=givens.authority, hosted=givens.hosted, regions=givens.reference.regions
    )
    standing = givens.packs.of(owners)
    planned = givens.planned or givens.reference
    old = parsed(givens.baseline_sources, givens, reference=givens.reference, owners=owners)
    new = parsed(givens.sources, givens, reference=planned, owners=owners)
    baseline, draft = replaced(standing, old), replaced(standing, new)
    on = givens.on or first_day((*old, *new), today=givens.today)
    if givens.preview_on is None:
        baseline, draft = in_force(baseline, on=on), in_force(draft, on=on)
    else:
        on = givens.preview_on
    is_preview = givens.preview_on is not None
    before = Scene(
        packs=PackSet(baseline),
        reference=givens.reference,
        hosted=givens.hosted,
        joined=givens.joined,
        day=givens.today if is_preview else None,
    )
    after = Scene(
        packs=PackSet(draft),
        reference=planned,
        hosted=givens.hosted,
        joined=givens.joined,
        day=givens.preview_on,
    )
    return Stage(
        before,
        after,
        baseline=_named(old) or "现行规则",
        draft=_named(new) or "现行规则",
        on=on,
    )


def parsed(
    sources: Iterable[bytes], givens: Givens, *, reference: Reference, owners: Sequence[str]
) -> tuple[Pack, ...]:
    """Return the packs of sources that count for an authority."""
    packs: list[Pack] = []
    # The nation's first: the others may use its templates.
    for source in sorted(sources, key=lambda each: not name_of(each).startswith(NATION)):
        templates = templates_of(replaced(givens.packs.packs, packs))
        result = parse_pack(
            source,
            name=name_of(source),
            reference=reference,
            conditions=givens.conditions,
            templates=templates,
        )
        refuse(result.errors)
        if result.pack is not None:
            packs.append(result.pack)
    for pack in packs:
        if pack.owner not in owners:
            raise FieldInvalid(
                field="sources",
                got=f"a pack of {pack.owner}",
                expected=f"one of {', '.join(owners)}, whose packs count for {givens.authority}",
            )
    return tuple(packs)


def replaced(standing: Iterable[Pack], drafts: Iterable[Pack]) -> tuple[Pack, ...]:
    """Return the packs with the drafts in place of those of the same names."""
    by_name: Mapping[str, Pack] = {
        **{pack.pack: pack for pack in standing},
        **{pack.pack: pack for pack in drafts},
    }
    return tuple(by_name.values())


def name_of(source: bytes) -> str:
    """Return the name that a pack's text gives itself, or a name that fits none."""
    found = _NAME.search(source[:100_000].decode("utf-8", "replace"))
    return found[1] if found else "draft"


def at_that_hour(now: Instant, *, on: date) -> Instant:
    """Return the same hour in China on another day, so that rules with hours stay comparable."""
    local = now.astimezone(SHANGHAI)
    return datetime.combine(on, local.timetz()).astimezone(UTC)


def _named(packs: Iterable[Pack]) -> str:
    return "、".join(pack.label for pack in packs)
