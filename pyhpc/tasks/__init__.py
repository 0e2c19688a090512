"""What a plan may run: the one place that knows the names of tasks.

A plan file names its task by a key of :data:`TASKS`, and nothing else in a file is ever imported.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pyhpc.errors import PyhpcError

if TYPE_CHECKING:
    from pyhpc.shards.task import Task

TASKS: dict[str, str] = {
    "featurize": "pyhpc.tasks.featurize:FeaturizeTask",
    "fit": "pyhpc.tasks.fit:FitTask",
}
"""Import locations, ``module:class``, by name of the task."""


def make_task(name: str, parameters: dict[str, Any]) -> Task:
    """Make a task from its name and its parameters.

    Raises
    ------
    PyhpcError
        If there is no such task.
    """
    if name not in TASKS:
        raise PyhpcError(
            f"unknown task {name!r}", f"The plan must be of one of these: {', '.join(TASKS)}."
        )
    module, _, attribute = TASKS[name].partition(":")
    task: Task = getattr(import_module(module), attribute).from_parameters(parameters)
    return task
