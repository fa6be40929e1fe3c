"""Parties of a dispute on the command line: an authority's code, or a unit as it is called."""

from __future__ import annotations

import re

from gateway.cli.output import pick
from gateway.kernel.errors import FieldInvalid

PARTY_HELP = "以哪个单位的名义，如 130100-GA-1；本机构或平台唯一单位可省 / unit that speaks"
_AUTHORITY = re.compile(r"[1-9][0-9]{5}")
_UNIT = re.compile(r"(units/)?(?P<unit>[1-9][0-9]{5}-([A-Z]+(_[A-Z]+)*-[1-9][0-9]{0,3}|desk))")


def party_given(given: str, *, option: str) -> str:
    """Return a party's name as requests have it; empty when nothing was given.

    Raises:
        FieldInvalid: it is neither an authority's code nor a unit.
    """
    unit = _UNIT.fullmatch(given)
    if unit is not None:
        return f"units/{unit['unit']}"
    if given and _AUTHORITY.fullmatch(given) is None:
        expected = pick(
            "130100、130100-GA-1 或 units/130100-GA-1",
            "130100, 130100-GA-1 or units/130100-GA-1",
        )
        raise FieldInvalid(field=option, got=given, expected=expected)
    return given
