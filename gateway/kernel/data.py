"""Where the project's data folders lie: beside `gateway` in a checkout, inside it in a wheel.

The wheel carries `routing_rules` as `gateway/_data/routing_rules` (pyproject.toml), so that an
installed node starts with the national catalogues and packs without any download.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def data_path(name: str) -> Path:
    """Return the folder or file `name` of the project's data, like `routing_rules/reference`.

    Raises:
        FileNotFoundError: neither the installation nor the checkout holds it.
    """
    candidates = (_PACKAGE / "_data" / name, _PACKAGE.parent / name)
    for candidate in candidates:
        if candidate.exists():
            return candidate
    looked = ", ".join(str(candidate) for candidate in candidates)
    raise FileNotFoundError(f"no data {name!r}: looked at {looked}; install lubiao again")
