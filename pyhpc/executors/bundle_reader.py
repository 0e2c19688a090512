"""What Dask workers read while they treat something else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from distributed import WorkerPlugin, get_worker

from pyhpc.shards.read_ahead import ReadAhead

if TYPE_CHECKING:
    from pathlib import Path

    from pyhpc.shards.packed import ShardTable

_PREFIX = "shard"


def bundle_key(index: int, attempt: str) -> str:
    """Name a bundle for Dask, so that its first shard can be told."""
    return f"{_PREFIX}-{index}-{attempt}"


class BundleReader(WorkerPlugin):
    """Has the first shard of a bundle read while it waits for the worker to end another.

    Within a bundle, each shard has the next one read.
    """

    name = "pyhpc-bundle-reader"

    def __init__(self) -> None:
        self._files: ReadAhead | None = None
        self._early: list[int] = []

    @classmethod
    def files(cls, folder: Path, shards: ShardTable) -> ReadAhead:
        """Give the shard files of the worker whose task calls this."""
        reader = cast("BundleReader | None", get_worker().plugins.get(cls.name))
        if reader is None:
            return ReadAhead(folder, shards)
        if reader._files is None:
            # Not closed with the worker, which may leave while this task goes on.
            reader._files = ReadAhead(folder, shards)
            for index in reader._early:
                reader._files.expect(index)
        return reader._files

    def transition(self, key: Any, start: str, finish: str, **kwargs: Any) -> None:
        """Note that a bundle has come."""
        prefix, *rest = str(key).split("-")
        if finish != "ready" or prefix != _PREFIX:
            return
        index = int(rest[0])
        if self._files is None:
            # Only the plan says which file it is, and to load it would keep the event loop.
            self._early.append(index)
        else:
            self._files.expect(index)
