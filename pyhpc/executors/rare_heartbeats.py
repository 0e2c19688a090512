"""Signs of life of Dask workers, no more often than somebody needs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distributed import WorkerPlugin

if TYPE_CHECKING:
    from distributed import Worker

SECONDS = 5.0
"""Least time between two signs of life of a worker; to miss them for minutes says that it is dead.
Of Dask's, few workers show two a second, which takes each of them and the scheduler some
milliseconds: of a machine with as many workers as cores half a percent."""


class RareHeartbeats(WorkerPlugin):
    """Lets a worker show a sign of life every few seconds."""

    name = "pyhpc-rare-heartbeats"

    def setup(self, worker: Worker) -> None:
        """Put them further apart, each time anew: Dask's answer to one says when the next is."""
        calls = worker.periodic_callbacks["heartbeat"]

        async def show() -> None:
            await worker.heartbeat()
            calls.callback_time = max(calls.callback_time, 1e3 * SECONDS)

        calls.callback = show
