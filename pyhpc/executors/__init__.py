"""Run the shards of a plan somewhere.

An executor knows nothing of what a task computes, and holds nothing that is not on the disk: any of
them can take over a run from any other, or from a former self that was killed.
"""

from pyhpc.executors.inline import InlineExecutor
from pyhpc.executors.local import LocalExecutor
from pyhpc.executors.names import EXECUTORS, Resources, make_executor
from pyhpc.executors.run import Executor, Job, Run, Status
from pyhpc.executors.site import Site

__all__ = [
    "EXECUTORS",
    "Executor",
    "InlineExecutor",
    "Job",
    "LocalExecutor",
    "Resources",
    "Run",
    "Site",
    "Status",
    "make_executor",
]
