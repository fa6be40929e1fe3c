"""What reached the nation's hub, asked as anybody would: `lubiao hub map --json`."""

from __future__ import annotations

import json
import subprocess
import sys

from gateway.cli.demo.federation import Federation
from gateway.kernel.ids import NATION

ASK_SECONDS_MAX = 20.0


def hub_summary(federation: Federation) -> dict[str, object] | None:
    """Return how many provinces and cells reached the hub; None when there is none to ask."""
    hub = next((node for node in federation.topology.nodes if "hub" in node.roles), None)
    if hub is None:
        return None
    command = [
        *(sys.executable, "-m", "gateway", "hub", "map", "--json"),
        *("--node", federation.endpoints[hub.name]),
        *("--cert", str(federation.layout.staff(NATION))),
    ]
    try:
        done = subprocess.run(  # noqa: S603 (our own interpreter, our own arguments)
            command, capture_output=True, text=True, check=False, timeout=ASK_SECONDS_MAX
        )
        answer = json.loads(done.stdout) if done.returncode == 0 else None
    except (subprocess.TimeoutExpired, json.JSONDecodeError):
        return None
    return _counted(answer) if isinstance(answer, dict) else None


def _counted(answer: dict[str, object]) -> dict[str, object]:
    """Count the cells of a map by what is said of them."""
    cells = answer.get("cells", [])
    rows = [cell for cell in cells if isinstance(cell, dict)] if isinstance(cells, list) else []
    released = [cell for cell in rows if not cell.get("suppressed")]
    provinces = {cell.get("province") for cell in rows}
    return {"provinces": len(provinces), "cells": len(rows), "released": len(released)}
