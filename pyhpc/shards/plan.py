"""The plan of a run: what is computed from what, by which code. It never changes."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pyhpc.errors import PyhpcError
from pyhpc.shards.files import create, differences, digest, new_attempt, to_json
from pyhpc.shards.packed import ShardTable

if TYPE_CHECKING:
    from pyhpc.shards.output import Output
    from pyhpc.shards.packed import Packing
    from pyhpc.shards.task import Task

FORMAT = 2
"""Version of the layout of an output folder."""


@dataclass(frozen=True, slots=True)
class Guard:
    """What one record may use before it is quarantined.

    Part of the plan, since it decides how such a record ends.

    Attributes
    ----------
    record_seconds : float
        Core time. A worker that spends as much wall time on a batch is ended, too, and the batch
        treated again with the records taken apart.
    record_bytes : int
        Memory beyond what the process needs by itself.
    """

    record_seconds: float = 120.0
    record_bytes: int = 2 * 2**30


@dataclass(frozen=True)
class Plan:
    """Inputs, cut into shards, and the task with its parameters and versions.

    Attributes
    ----------
    task : str
        Key of :data:`pyhpc.tasks.TASKS`.
    parameters, versions : dict
        Of the task.
    guard : Guard
        What one record may use.
    shards : ShardTable
        The shards; shard ``k`` can be run by any process that sees the files.
    packing : str
        Folder of the shard files, relative to the output folder. The one thing that does not
        belong to the identity of the plan: files are known by their hashes.
    """

    task: str
    parameters: dict[str, Any]
    versions: dict[str, str]
    guard: Guard
    shards: ShardTable
    packing: str

    @classmethod
    def make(cls, output: Output, packing: Packing, task: Task, guard: Guard) -> Self:
        """Plan a task over packed records."""
        if not packing.shards:
            raise PyhpcError(f"{packing.folder} holds no records", "Check the sources.")
        return cls(
            # As a reader of the file will see it: tuples as lists, keys as strings.
            **json.loads(to_json(_identify(task))),
            guard=guard,
            shards=packing.shards,
            packing=os.path.relpath(packing.folder.resolve(), output.path.resolve()),
        )

    @cached_property
    def records(self) -> int:
        """Number of records of all shards."""
        return self.shards.records

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that decides the result, JSON-able."""
        return {
            "format": FORMAT,
            "task": self.task,
            "parameters": self.parameters,
            "versions": self.versions,
            "guard": asdict(self.guard),
            "shards": self.shards.identity,
        }

    @cached_property
    def sha256(self) -> str:
        """Hash of the identity."""
        return digest(to_json(self.identity))

    def create(self, output: Output) -> Self:
        """Write the plan into an output folder, or join the equal plan that is there.

        Returns
        -------
        Plan
            The plan in the folder.

        Raises
        ------
        PyhpcError
            If the folder holds another plan.
        """
        output.make()
        rest = {"packing": self.packing, "sha256": self.sha256, "table": self.shards.lines()}
        body = self.identity | rest
        if create(output.plan, to_json(body), new_attempt()):
            return self
        other = self.load(output)
        if other.sha256 != self.sha256:
            raise PyhpcError(
                f"{output.path} holds results of another plan, which must not be mixed with this "
                f"one: {differences(other.identity, self.identity)}",
                "Choose another --out, or go back to the same parameters and versions.",
            )
        return other

    @classmethod
    def load(cls, output: Output) -> Self:
        """Read the plan of an output folder.

        Raises
        ------
        PyhpcError
            If there is none, or it is damaged or of another format.
        """
        try:
            body = json.loads(output.plan.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            raise PyhpcError(
                f"{output.path} is not an output folder: there is no {output.plan.name}",
                "Make one with: pyhpc featurize SOURCES... --out OUT",
            ) from None
        except ValueError:
            body = {}
        if body.pop("format", FORMAT) != FORMAT:
            raise PyhpcError(
                f"{output.plan} was written by another version of pyhpc",
                "Choose another --out, or use that version.",
            )
        try:
            sha256, packing, lines = (body.pop(name) for name in ("sha256", "packing", "table"))
            whole = sha256 == digest(to_json({"format": FORMAT} | body))
            shards = ShardTable.parse(lines)
            whole &= body["shards"] == shards.identity
            plan = cls(
                **body | {"guard": Guard(**body["guard"]), "shards": shards}, packing=packing
            )
        except (KeyError, TypeError, ValueError):
            whole = False
        if not whole:
            raise PyhpcError(
                f"{output.plan} is damaged: it does not match its own hash",
                "Remove it and give the command again that made it: results of another plan "
                "would be noticed.",
            )
        return plan

    def check_task(self, task: Task) -> None:
        """Refuse to mix results of different tasks or of different code.

        Raises
        ------
        PyhpcError
            If the task, as this process has it, is not that of the plan.
        """
        planned = {
            "task": self.task,
            "parameters": self.parameters,
            "versions": self.versions,
        }
        here = json.loads(to_json(_identify(task)))
        if here != planned:
            raise PyhpcError(
                f"this process has another task than the plan: {differences(planned, here)}",
                "Run all workers in the environment in which the plan was made.",
            )


def _identify(task: Task) -> dict[str, Any]:
    return {"task": task.name, "parameters": task.parameters, "versions": task.versions}


@lru_cache(maxsize=8)
def cached_plan(output: Output) -> Plan:
    """Plan of an output folder, read once per worker: plans never change."""
    return Plan.load(output)


def packing_folder(output: Output, plan: Plan) -> Path:
    """Folder of the shard files."""
    return Path(os.path.normpath(output.path.resolve() / plan.packing))
