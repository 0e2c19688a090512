"""What Dask workers read while they treat something else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from distributed import WorkerPlugin, get_worker

from pyhpc.executors.run_order import EarlyFiles

if TYPE_CHECKING:
    from distributed import Worker

_PREFIX = "shard"


def bundle_key(name: str) -> str:
    """Name an order for Dask, so that its first shard can be told."""
    return f"{_PREFIX}-{name}"


class BundleReader(WorkerPlugin):
    """Has the first shard of an order read while the order waits for the worker to end another."""

    name = "pyhpc-bundle-reader"

    def setup(self, worker: Worker) -> None:
        """Begin without any."""
        self.files = EarlyFiles()

    @classmethod
    def of_worker(cls) -> EarlyFiles:
        """Give the shard files of the worker whose task calls this."""
        reader = cast("BundleReader | None", get_worker().plugins.get(cls.name))
        return EarlyFiles() if reader is None else reader.files

    def transition(self, key: Any, start: str, finish: str, **kwargs: Any) -> None:
        """Note that an order has come."""
        prefix, *rest = str(key).split("-")
        if finish == "ready" and prefix == _PREFIX:
            self.files.expect(int(rest[0]))
