"""Where things lie in the output folder of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyhpc.shards.files import make_folder

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Output:
    """Output folder of a run.

    ``plan.json`` is what is run; ``parts/`` the table; ``ledger/`` how each record ended;
    ``manifests/`` one small file per shard, whose existence says that the shard is done;
    ``manifest.json`` the same for the whole run; ``attempts/`` who tried what and how long it took,
    which is no part of the result.
    """

    path: Path

    def make(self) -> None:
        """Make the folders."""
        for folder in (self.parts, self.ledger, self.manifests, self.attempts):
            make_folder(folder)

    @property
    def plan(self) -> Path:
        """The plan."""
        return self.path / "plan.json"

    @property
    def shards(self) -> Path:
        """Where sources are packed that were not packed before."""
        return self.path / "shards"

    @property
    def final_manifest(self) -> Path:
        """The manifest of the whole run."""
        return self.path / "manifest.json"

    @property
    def parts(self) -> Path:
        """Folder of the table's parts."""
        return self.path / "parts"

    @property
    def ledger(self) -> Path:
        """Folder of the ledger."""
        return self.path / "ledger"

    @property
    def manifests(self) -> Path:
        """Folder of the manifests."""
        return self.path / "manifests"

    @property
    def attempts(self) -> Path:
        """Folder of the attempts."""
        return self.path / "attempts"

    def part(self, index: int, sha256: str) -> Path:
        """Part of a shard. Named after its content, so that nothing can be overwritten by else."""
        return self.parts / f"part-{index:05d}-{sha256[:12]}.parquet"

    def ledger_part(self, index: int, sha256: str) -> Path:
        """Part of the ledger, one per shard."""
        return self.ledger / f"ledger-{index:05d}-{sha256[:12]}.parquet"

    def manifest(self, index: int) -> Path:
        """Manifest of a shard."""
        return self.manifests / f"{index:05d}.json"

    def attempt(self, index: int, attempt: str) -> Path:
        """Log of an attempt at a shard."""
        return self.attempts / f"{index:05d}-{attempt}.log"
