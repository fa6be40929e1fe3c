"""Revoked certificates: a plain list per CA, copied to the nodes that trust it.

    {"issuer": "120000", "serials": ["3f…", …]}

The list is a local file like the CA certificate beside it and is trusted for the same reason: who
can write it can also replace the CA. Each list speaks for its own CA only, so no
authority can lock out another's people. A node reads it whenever it changes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gateway.kernel.errors import FieldInvalid, ResourceNotFound
from gateway.kernel.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

FEDERATION = "federation"
SERIALS_MAX = 100_000  # several times the staff of a province; more is a broken file


@dataclass(frozen=True, slots=True)
class RevocationList:
    """The serials that one CA revoked."""

    issuer: str
    serials: frozenset[int]

    def with_serial(self, serial: int) -> RevocationList:
        """Return the list with one serial more."""
        return RevocationList(issuer=self.issuer, serials=self.serials | {serial})

    def save(self, path: Path) -> None:
        """Write the list so that a crash leaves the old or the new one."""
        serials = [f"{serial:x}" for serial in sorted(self.serials)]
        text = json.dumps({"issuer": self.issuer, "serials": serials}, indent=2) + "\n"
        temporary = path.with_suffix(".new")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> RevocationList:
        """Read a list.

        Raises:
            FieldInvalid: the file is not such a list; a node must not start on a broken one.
            ResourceNotFound: there is no such file.
        """
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            issuer, texts = str(value["issuer"]), list(value["serials"])
            serials = frozenset(int(text, 16) for text in texts[: SERIALS_MAX + 1])
        except FileNotFoundError as error:
            raise ResourceNotFound(kind="revocation list", name=path) from error
        except (ValueError, KeyError, TypeError) as error:
            raise _invalid(path, type(error).__name__) from error
        if len(serials) > SERIALS_MAX:
            raise _invalid(path, f"more than {SERIALS_MAX} serials")
        return cls(issuer=issuer, serials=serials)


@dataclass(frozen=True, slots=True)
class Revocations:
    """All lists that a node has, by the CA that wrote them."""

    lists: Mapping[str, frozenset[int]]

    @classmethod
    def none(cls) -> Revocations:
        """Return what a node knows when nobody was revoked."""
        return cls(lists={})

    @classmethod
    def of(cls, lists: Iterable[RevocationList]) -> Revocations:
        """Return the union of lists; two of one issuer are merged."""
        merged: dict[str, frozenset[int]] = {}
        for each in lists:
            merged[each.issuer] = merged.get(each.issuer, frozenset()) | each.serials
        return cls(lists=merged)

    def is_revoked(self, *, issuer: str, serial: int) -> bool:
        """Tell whether `issuer` (`federation` or a code) revoked this serial."""
        return serial in self.lists.get(issuer, frozenset())


def _invalid(path: Path, got: str) -> FieldInvalid:
    return FieldInvalid(field=path, got=got, expected='{"issuer": …, "serials": [hex, …]}')
