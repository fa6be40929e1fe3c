"""Packs by version: read from the database, verified, parsed once in this process.

A version that was published comes into force only with its owner's statement: the signature over
the exact bytes, by a key of the owner, about exactly this pack and version. The check is made when
a process loads a version and not only when it was published, so that a row which somebody wrote
into the database by hand decides nothing. Founding versions come from the folder that whoever runs
the node vouches for, and carry no signature.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping

from gateway.database.uow import Database, UnitOfWork
from gateway.delivery.codec import checked_statement
from gateway.delivery.model import SignedBytes
from gateway.kernel.errors import (
    FieldInvalid,
    InvariantViolated,
    KeyUnknown,
    ResourceNotFound,
    SignatureInvalid,
)
from gateway.kernel.ids import NATION, AuthorityCode
from gateway.publishing.codec import PUBLICATION, publication_from_bytes
from gateway.publishing.model import owner_of
from gateway.publishing.store import ACTIVATIONS_OF, SOURCES
from gateway.publishing.workshop import Parse
from gateway.routing.model import Pack, Template
from gateway.routing.packs import refuse
from gateway.routing.templates import templates_of
from gateway.trust.key_ring import KeyRing
from gateway.trust.keys import PublicKey
from gateway.trust.roster import Roster
from gateway.trust.statements import verify

_Key = tuple[str, str, str]
PACKS_MAX = 256  # 31 provinces with drafts; what is not kept is parsed again


class Library:
    """The packs of one process."""

    def __init__(self, *, parse: Parse, keys: KeyRing, roster: Callable[[], Roster]) -> None:
        """Parse with `parse`, and verify with the keys of the roster and of this node."""
        self._parse = parse
        self._keys = keys
        self._roster = roster
        self._packs: OrderedDict[_Key, Pack] = OrderedDict()
        self._vouched: set[_Key] = set()  # of these; what was parsed as a draft is not among them
        # The templates that drafts may use: those of the nation's packs in force.
        self.templates: Callable[[], Awaitable[Mapping[str, Template]]] = no_templates

    def note(self, pack: Pack, templates: Mapping[str, Template]) -> None:
        """Keep a pack that was parsed elsewhere, with the templates that it may have used."""
        key = _key(pack.pack, pack.version, templates)
        self._packs[key] = pack
        self._packs.move_to_end(key)
        while len(self._packs) > PACKS_MAX:
            gone, _ = self._packs.popitem(last=False)
            self._vouched.discard(gone)

    async def parsed(
        self, source: bytes, *, pack: str, templates: Mapping[str, Template] | None = None
    ) -> Pack:
        """Return the pack of a source; without `templates` with those in force.

        Raises:
            RulePackInvalid: it has errors; all of them are in the hint.
        """
        known_templates = await self.templates() if templates is None else templates
        known = self._packs.get(_key(pack, digest_of(source), known_templates))
        if known is not None:
            return known
        findings, found = await self._parse(source, pack, known_templates)
        refuse(findings)
        if found is None:
            raise InvariantViolated(invariant="a pack without errors", got=pack)
        self.note(found, known_templates)
        return found

    async def load(self, database: Database, versions: Mapping[str, str]) -> tuple[Pack, ...]:
        """Return the packs of these versions, each verified when it is first seen here.

        The nation's come first, because the others may use their templates.

        Raises:
            SignatureInvalid, KeyUnknown, FieldInvalid: the owner did not sign it.
            ResourceNotFound: its source is missing.
            RulePackInvalid: it does not load with today's reference data.
        """
        of_nation = [each for each in versions.items() if owner_of(each[0]) == NATION]
        others = [each for each in versions.items() if owner_of(each[0]) != NATION]
        packs = [await self._load(database, *each, {}) for each in of_nation]
        templates = templates_of(packs)
        packs += [await self._load(database, *each, templates) for each in others]
        return tuple(packs)

    async def _load(
        self, database: Database, pack: str, version: str, templates: Mapping[str, Template]
    ) -> Pack:
        key = _key(pack, version, templates)
        if key in self._vouched:
            return self._packs[key]
        async with database.unit() as uow:
            source = await find_source(uow, version)
            signed = await self._signed(uow, pack, version)
        if source is None or digest_of(source) != version:
            raise ResourceNotFound(kind="rule pack source", name=f"{pack}@{version[:12]}")
        if signed is not None:
            self._verify(pack, version, signed)
        parsed = await self.parsed(source, pack=pack, templates=templates)
        self._vouched.add(key)
        return parsed

    async def _signed(self, uow: UnitOfWork, pack: str, version: str) -> SignedBytes | None:
        """Return what was signed about a version; None for a founding one."""
        lines = await uow.rows(ACTIVATIONS_OF, pack, version)
        if not lines:
            raise ResourceNotFound(kind="publication", name=f"{pack}@{version[:12]}")
        published = [row for row in lines if row.issued]
        if not published:
            return None
        newest = published[-1]
        return SignedBytes(newest.statement, newest.key_id, newest.signature)

    def _verify(self, pack: str, version: str, signed: SignedBytes) -> None:
        owner = owner_of(pack)
        verify(self._key(owner, signed.key_id), signed.statement, signed.signature, signer=owner)
        statement = checked_statement(signed.statement)
        publication = publication_from_bytes(statement.body)
        said = (statement.kind, statement.issuer, publication.pack, publication.version)
        if said != (PUBLICATION, owner, pack, version):
            raise SignatureInvalid(signer=owner, got=f"a statement about {publication.pack}")

    def _key(self, owner: str, key_id: str) -> PublicKey:
        listed = self._roster().statement_key(owner, key_id)
        if listed is not None:
            return listed
        own = self._keys.authorities.get(AuthorityCode(owner))
        for key in own.statement.values() if own else ():
            if key.key_id == key_id:
                return key.public
        raise KeyUnknown(key_id=key_id, signer=owner, kind=PUBLICATION)


async def no_templates() -> Mapping[str, Template]:
    """Return none."""
    return {}


def _key(pack: str, version: str, templates: Mapping[str, Template]) -> _Key:
    """Return what a parsed pack depends on; the nation's own packs use no templates."""
    if owner_of(pack) == NATION or not templates:
        return pack, version, ""
    return pack, version, digest_of(repr(sorted(templates.items())).encode())


async def find_source(uow: UnitOfWork, version: str) -> bytes | None:
    """Return the source of any version that was ever written here, or None."""
    row = await uow.get(SOURCES, version)
    return row.source if row is not None else None


def digest_of(source: bytes) -> str:
    """Return the version of a source."""
    return hashlib.sha256(source).hexdigest()


def text_of(source: bytes) -> str:
    """Return a source as text.

    Raises:
        FieldInvalid: it is not UTF-8.
    """
    try:
        return source.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FieldInvalid(field="source", got="bytes", expected="UTF-8 text") from error
