"""Cut inputs into shards, plan a task over them, commit each shard once, account for every record.

:func:`pack` makes shards of records; :meth:`Plan.make` and :meth:`Plan.create` fix what is to be
run; :func:`run_shards` runs some shards, in any process that sees the files; :func:`finish` closes
the run and :func:`verify` checks it. Nothing but files passes between them.
"""

from pyhpc.shards.finish import finish
from pyhpc.shards.output import Output
from pyhpc.shards.packed import Packing
from pyhpc.shards.packing import ShardSize, describe_sources, pack
from pyhpc.shards.plan import Guard, Plan
from pyhpc.shards.replay import find_records
from pyhpc.shards.run import ShardDone, Trial, run_shards, shard_done
from pyhpc.shards.task import Task, TaskResult
from pyhpc.shards.verify import Problem, repair, verify

__all__ = [
    "Guard",
    "Output",
    "Packing",
    "Plan",
    "Problem",
    "ShardDone",
    "ShardSize",
    "Task",
    "TaskResult",
    "Trial",
    "describe_sources",
    "find_records",
    "finish",
    "pack",
    "repair",
    "run_shards",
    "shard_done",
    "verify",
]
