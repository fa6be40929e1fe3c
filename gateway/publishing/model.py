"""Values of publishing: a version with its life, lines of the timeline, misroutes.

A *version* is the SHA-256 of a pack's bytes. An *activation* says that a version of a pack is in
force from a business instant on; all of them together are the *timeline*, out of which follows
what was in force at any instant. The *generation* counts its changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from gateway.kernel.codes import (
    MisrouteReason,
    MisrouteResolution,
    MisrouteState,
    PublicationKind,
    RulePackState,
)
from gateway.kernel.time import Instant

SOURCE_BYTES_MAX = 10 * 1024 * 1024  # of a pack: 100,000 rules in 31 packs have 2 MB each
FINDINGS_SHOWN_MAX = 1_000  # of one check; one wrong word could make a finding in every rule
PUBLICATION_VALIDITY = timedelta(days=30)  # as long as a roster
VERSION_CHARS = 64
NO_VERSION = ""  # stands for "no version of this pack is in force"


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of a pack; `effective` is when it last came, or will come, into force."""

    pack: str
    version: str
    owner: str
    title: str
    rule_count: int
    state: RulePackState
    revision: int
    editor: str
    approver: str
    created: Instant
    changed: Instant
    effective: Instant | None = None
    reason: str = ""
    founding: bool = False
    finding_count: int = 0

    @property
    def name(self) -> str:
        """The resource name."""
        return f"rulePacks/{self.pack}/versions/{self.version}"

    @property
    def subject(self) -> str:
        """The name by which the audit calls it, within its bound."""
        return f"rulePacks/{self.pack}/versions/{self.version[:16]}"

    @property
    def etag(self) -> str:
        """Changes with every change."""
        return f"{self.version[:12]}-{self.revision}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """A version is in force from `effective` on, until another line says otherwise."""

    pack: str
    sequence: int
    version: str
    kind: PublicationKind
    effective: Instant
    withdrawn: bool = False


class InForce(NamedTuple):
    """Which version of each pack is in force from an instant on; packs without one are left out."""

    since: Instant
    versions: Mapping[str, str]


def in_force(activations: Iterable[Activation], at: Instant) -> Mapping[str, str]:
    """Return which version of each pack is in force at an instant."""
    newest: dict[str, Activation] = {}
    for line in activations:
        if line.withdrawn or line.effective > at:
            continue
        known = newest.get(line.pack)
        if known is None or _order(known) < _order(line):
            newest[line.pack] = line
    return {
        pack: line.version for pack, line in sorted(newest.items()) if line.version != NO_VERSION
    }


def timeline(activations: Iterable[Activation], *, since: Instant) -> tuple[InForce, ...]:
    """Return what is in force from `since` on, one entry for each change."""
    lines = sorted((line for line in activations if not line.withdrawn), key=_order)
    versions = dict(in_force(lines, since))
    found = [InForce(since, dict(versions))]
    for line in lines:
        if line.effective <= since:
            continue
        if line.version == NO_VERSION:
            versions.pop(line.pack, None)
        else:
            versions[line.pack] = line.version
        if found[-1].since == line.effective:
            found.pop()
        found.append(InForce(line.effective, dict(versions)))
    return tuple(found)


def version_of(activations: Iterable[Activation], *, pack: str, at: Instant) -> str:
    """Return the version of one pack that is in force at an instant, or nothing."""
    return in_force((line for line in activations if line.pack == pack), at).get(pack, NO_VERSION)


def _order(line: Activation) -> tuple[Instant, int]:
    return line.effective, line.sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What the owner of a pack signs: this version is in force from then on."""

    pack: str
    version: str
    owner: str
    kind: PublicationKind
    sequence: int
    editor: str
    approver: str
    publisher: str
    effective: Instant
    previous: str
    expires: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Misroute:
    """A report that a rule sent a ticket to the wrong place, as one of the two sides keeps it."""

    authority: str
    misroute: str
    reporter: str
    owner: str
    pack: str
    version: str
    rule: str
    ticket: str
    reason: MisrouteReason
    proposed_target: str
    occurrences: int
    state: MisrouteState
    resolution: MisrouteResolution
    resolution_version: str
    reported: Instant
    due: Instant
    escalated: bool
    answered: Instant | None
    answerer: str

    @property
    def name(self) -> str:
        """The resource name."""
        return f"misroutes/{self.misroute}"

    @property
    def pack_label(self) -> str:
        """Pack and version as a decision names them."""
        return f"{self.pack}@{self.version}" if self.version else self.pack

    def is_overdue(self, now: Instant) -> bool:
        """Tell whether its owner should have answered."""
        return self.state is MisrouteState.OPEN and now > self.due


@dataclass(frozen=True, slots=True)
class RuleCount:
    """What was reported about one rule."""

    pack: str
    rule: str
    reported: int
    open: int
    overdue: int
    rule_changed: int


def owner_of(pack: str) -> str:
    """Return the authority that owns a pack, by its name `{owner}.{name}`."""
    return pack.partition(".")[0]


def is_published_name(pack: str) -> bool:
    """Tell whether it is the name of a pack, and not of the list, the desk or the place."""
    owner, dot, _ = pack.partition(".")
    return bool(dot) and len(owner) == _OWNER_DIGITS and owner.isdigit()


_OWNER_DIGITS = 6
