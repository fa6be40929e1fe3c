"""Where everything lies in the folder of a demonstration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Layout:
    """The folder of one demonstration."""

    folder: Path

    @property
    def root_ca(self) -> Path:
        """The federation's root."""
        return self.folder / "federation"

    @property
    def roster(self) -> Path:
        """The keys that sign the roster, its description and the signed file."""
        return self.folder / "roster"

    @property
    def logs(self) -> Path:
        """One log per process."""
        return self.folder / "logs"

    def ca(self, authority: str) -> Path:
        """The CA of one authority."""
        return self.folder / "cas" / authority

    def node(self, name: str) -> Path:
        """The folder of one node."""
        return self.folder / "nodes" / name

    def database(self, name: str) -> Path:
        """The PostgreSQL data folder of one node."""
        return self.node(name) / "database"

    def adapter(self, platform: str) -> Path:
        """The folder of one platform's adapter."""
        return self.folder / "adapters" / platform

    def dispatcher(self, authority: str) -> Path:
        """The folder of one simulated dispatcher."""
        return self.folder / "dispatchers" / authority

    def panel(self, authority: str) -> Path:
        """The folder of the simulated panel of an authority."""
        return self.folder / "panels" / authority

    def units(self, platform: str) -> Path:
        """The folder of those who speak for a platform's units."""
        return self.folder / "units" / platform

    def steward(self, authority: str, duty: str) -> Path:
        """The folder of a person of an authority's rule staff."""
        return self.folder / "stewards" / authority / duty

    def staff(self, authority: str) -> Path:
        """The certificate folder of the observer at one authority."""
        return self.folder / "staff" / authority
