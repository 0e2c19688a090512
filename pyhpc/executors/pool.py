"""Workers that run bundles of shards, whoever started them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from pyhpc.shards.output import Output
    from pyhpc.shards.run import ShardDone, Trial
    from pyhpc.shards.task import Task


@dataclass(frozen=True, slots=True)
class Order:
    """Shards that a worker is to run one after another and to commit together.

    Attributes
    ----------
    output : Output
        Output folder.
    task : Task
        The task of its plan.
    packing : Path, optional
        Folder of the shard files, if not where the plan says.
    threads : int
        Threads of the kernels.
    bundle : tuple of Trial
        The shards.
    """

    output: Output
    task: Task
    packing: Path | None
    threads: int
    bundle: tuple[Trial, ...]

    @property
    def name(self) -> str:
        """Name that no other order has."""
        return order_name(self.bundle[0])


def order_name(trial: Trial) -> str:
    """Name an order by its first trial; those of a share of an array have one attempt's name."""
    return f"{trial.index}-{trial.attempt}"


Answer = list["ShardDone | None"]
"""What came of each shard of an order; None for those that another process is at."""

Hear = Callable[[str, dict[str, int]], None]
"""Called, in any thread, with the name of an order, as it is begun and once in a while after, and
the records by outcome that have been treated since."""


class WorkerDiedError(Exception):
    """The worker is gone that had an order."""


class Pool(Protocol):
    """Workers, as a context outside of which there are none."""

    def count(self) -> int:
        """Give the number of workers, and one where there is none yet."""

    def submit(self, order: Order) -> Future[Answer]:
        """Give an order to the worker that has the fewest.

        Its future raises what the worker raised, or :class:`WorkerDiedError`.
        """

    def withdraw(self, orders: Sequence[Order]) -> None:
        """Take orders back that are not begun."""
