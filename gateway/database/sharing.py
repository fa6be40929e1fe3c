"""Who does what, of several processes that live: the pure half of the leases (`leases.py`).

Every process takes its share of the names, rounded up, so that all names are taken; one that has
more than its share gives the surplus up. What nobody alive holds is free. The order is fixed by the
names, so the same rows give the same plan.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from gateway.kernel.values import dataclass


@dataclass(frozen=True, slots=True)
class Sharing:
    """What one process changes: names it takes, and names it gives up or forgets."""

    taken: tuple[str, ...] = ()
    given_up: tuple[str, ...] = ()


def share(
    me: str, *, wanted: Collection[str], leases: Mapping[str, str], living: Collection[str]
) -> Sharing:
    """Return what `me` changes.

    Args:
        me: a process that lives, whether `living` says so or not.
        wanted: the names that somebody must hold now.
        leases: the holder of each name, alive or not.
        living: the processes that live.
    """
    alive = {*living, me}
    names = set(wanted)
    size = -(-len(names) // len(alive))
    mine = sorted(name for name in names if leases.get(name) == me)
    unwanted = sorted(name for name, holder in leases.items() if holder == me and name not in names)
    kept, surplus = mine[:size], mine[size:]
    free = sorted(name for name in names if leases.get(name) not in alive)
    return Sharing(taken=tuple(free[: size - len(kept)]), given_up=tuple(unwanted + surplus))
