"""What is done to a running federation, drawn by a seed: kills, broken ways, slow ways."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

from tests.chaos.federation import PROVINCE_NODES, Chaos

SLOW_SECONDS = (0.01, 0.3)
KILLS = {"gateway": (True, False), "database": (False, True), "both": (True, True)}


@dataclass
class Torment:
    """Breaks things in one federation and counts what it broke."""

    chaos: Chaos
    chance: random.Random
    counts: Counter[str] = field(default_factory=Counter)

    async def rounds(self, count: int) -> None:
        """Torment `count` times, a second or two each; what still stands broken is not mended."""
        for _ in range(count):
            await self.round()

    async def round(self) -> None:
        """Break a way and slow another, kill somebody, start what is dead, mend some way."""
        chance, links = self.chance, self.chaos.links.all()
        link = chance.choice(links)
        fault = chance.choice([link.cut, link.swallow, link.deafen])
        fault()
        self.counts[fault.__name__] += 1
        chance.choice(links).delay = chance.uniform(*SLOW_SECONDS)
        await asyncio.sleep(chance.uniform(0.3, 1.5))
        part = chance.choice(sorted(KILLS))
        gateway, database = KILLS[part]
        self.chaos.kill(chance.choice(PROVINCE_NODES), gateway=gateway, database=database)
        self.counts[f"kill {part}"] += 1
        await asyncio.sleep(chance.uniform(0.1, 1.0))
        self.chaos.revive()
        chance.choice(links).heal()

    async def end(self) -> None:
        """Mend everything and wait until all nodes serve."""
        self.chaos.links.heal()
        self.chaos.revive()
        await self.chaos.until_up()
