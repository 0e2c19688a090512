"""Run shards as a plain SLURM array: no process has to stay alive anywhere.

A round is an array (several, where the site bounds their size) and a job that starts when all of
it has ended, looks at what is missing, and submits the next round or finishes the run. All they
know of each other is on the disk.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field, replace
from math import ceil
from typing import TYPE_CHECKING, Any

from pyhpc.errors import PyhpcError
from pyhpc.executors.rounds import Round, Spans
from pyhpc.executors.run import Tally
from pyhpc.executors.sbatch import BatchScript, file_pattern
from pyhpc.executors.site import Site, walltime_seconds
from pyhpc.executors.slurm_commands import Limits, SlurmError, sbatch, slurm, waiting_jobs
from pyhpc.shards.files import create, make_folder, new_attempt, to_json
from pyhpc.shards.files import replace as write
from pyhpc.shards.plan import packing_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from pyhpc.executors.run import Job, Status
    from pyhpc.shards.output import Output
    from pyhpc.shards.packed import ShardTable

ISOLATE_AFTER = 2
"""After so many attempts that ended without a word, the records of a shard are run in isolation.
It costs little, and blames no record for what befell its node."""


SUBMIT_SECONDS = 150.0
"""Longest time from the begin of a round to the id of its first job: that of a command of SLURM,
and some more."""


@dataclass(frozen=True, slots=True)
class ArrayFolder:
    """Where an array run keeps its scripts, rounds and logs; no part of the result."""

    path: Path

    @classmethod
    def of(cls, output: Output) -> ArrayFolder:
        """Give the folder of an output."""
        return cls(output.path / "slurm")

    @property
    def logs(self) -> Path:
        """What the jobs print."""
        return self.path / "logs"

    @property
    def array(self) -> Path:
        """Script of the tasks."""
        return self.path / "array.sbatch"

    @property
    def finish(self) -> Path:
        """Script of the job that ends a round."""
        return self.path / "finish.sbatch"

    def round(self, number: int) -> Path:
        """File of a round."""
        return self.path / f"round-{number:03d}.json"

    def jobs(self, number: int) -> Path:
        """Ids of the jobs of a round."""
        return self.path / f"round-{number:03d}.jobs.json"

    def rounds(self) -> list[int]:
        """Numbers of the rounds there are."""
        numbers: list[int] = []
        while self.round(len(numbers) + 1).exists():
            numbers.append(len(numbers) + 1)
        return numbers

    def job_ids(self) -> list[str]:
        """Ids of the jobs of all rounds, in order."""
        ids: list[str] = []
        for number in self.rounds():
            path = self.jobs(number)
            if path.exists():
                ids += json.loads(path.read_bytes())
        return ids


@dataclass(frozen=True, kw_only=True)
class ArrayExecutor:
    """Submits arrays of batch jobs, each of which works through its share of the shards.

    Attributes
    ----------
    site : Site
        Profile of the cluster.
    tasks : int, optional
        Tasks of the array, at most one per shard; by default so many that a task ends within half
        of its time limit, by the estimated cost of the shards.
    rounds : int
        So often is what is missing submitted, the first time included.
    program : tuple of str
        What Python runs.
    """

    site: Site = field(default_factory=Site)
    tasks: int | None = None
    rounds: int = 5
    program: tuple[str, ...] = ("-m", "pyhpc")

    @property
    def cores(self) -> int:
        """Cores of a task."""
        return self.site.cores or 1

    def submission(self, job: Job) -> Submission:
        """Say what would be submitted: a pure function of the job and this executor."""
        folder = ArrayFolder.of(job.output)
        shards = len(job.plan.shards)
        tasks = self.tasks or suggest_tasks(job.plan.shards, self.site)
        tasks = min(tasks, shards, (self.site.max_jobs or sys.maxsize) - 1)
        moved = () if job.packing is None else ("--shards", str(job.packing))
        logs = file_pattern(str(folder.logs))
        out = str(job.output.path)
        folders = (job.output.path, job.packing or packing_folder(job.output, job.plan))
        python = self.site.python_command(folders)
        # Started again by itself after the failure of a node or preemption, and then goes on.
        common = ("--open-mode=append", "--requeue")
        array = BatchScript(
            comment=(
                "One task of an array run of pyhpc.",
                "Arguments: number of the round, number of the first task of this array.",
            ),
            directives=(
                "--job-name=pyhpc-array",
                f"--output={logs}/%A_%a.log",
                *common,
                f"--signal=B:USR1@{signal_seconds(self.site)}",
                *_options(self.site),
            ),
            prologue=self.site.setup,
            python=python,
            command=(*self.program, "slurm", "task", out, "$1", "$2", *moved),
        )
        finish = BatchScript(
            comment=(
                "The end of a round: submits what is missing, or finishes the run.",
                "Arguments: number of the round, how many may follow.",
            ),
            directives=(
                "--job-name=pyhpc-finish",
                f"--output={logs}/%j-finish.log",
                *common,
                *_options(replace(self.site, **FINISH)),
            ),
            prologue=self.site.setup,
            python=python,
            command=(
                *(*self.program, "slurm", "finish", out, "$1", "$2", "--tasks", str(tasks)),
                *(("--array-size", str(size)) if (size := self.site.max_array_size) else ()),
            ),
        )
        return Submission(tasks, array.render(), finish.render())

    def submit(self, job: Job) -> ArrayRun:
        """Submit what is missing; the jobs do without this process.

        Raises
        ------
        PyhpcError
            If jobs of an earlier submission are still in the queue, or SLURM refuses these.
        """
        folder = ArrayFolder.of(job.output)
        # Settled before the look at the queue: a round that another process begins from now on has
        # this number, too, and only one of them gets it.
        number = len(folder.rounds()) + 1
        _await_jobs(folder, number - 1)
        alive = waiting_jobs(folder.job_ids())
        if alive:
            raise PyhpcError(
                f"{job.output.path} is being run by the jobs {', '.join(sorted(alive))}",
                f"Watch them with: pyhpc status {job.output.path}",
            )
        submission = self.submission(job)
        for path in (folder.path, folder.logs):
            make_folder(path)
        for path, text in (
            (folder.array, submission.array),
            (folder.finish, submission.finish),
        ):
            write(path, text.encode(), new_attempt())
        missing = Spans.of(job.pending())
        if missing:
            submit_round(
                job.output,
                number,
                missing,
                tasks=submission.tasks,
                further=self.rounds - 1,
                limits=Limits.of(self.site),
                environment=self.site.exported(),
            )
        return ArrayRun(job)


@dataclass(frozen=True, slots=True)
class Submission:
    """What is submitted.

    Attributes
    ----------
    tasks : int
        Tasks of the array.
    array, finish : str
        The scripts of the tasks and of the job that ends a round.
    """

    tasks: int
    array: str
    finish: str


FINISH: dict[str, Any] = {"cores": 1, "memory": 2 * 2**30, "gpus": 0, "walltime": "1:00:00"}
"""What the job that ends a round asks for: it reads one small file per shard."""

LEAD = 120
"""So many seconds before its time limit a task begins no more shards, and finishes those that it
has begun: shards are cut to take two minutes."""

DEFAULT_WALLTIME = 3600
"""Time limit of a task in seconds where neither user nor profile says, to reckon with."""


def signal_seconds(site: Site) -> int:
    """Time before the time limit at which a task is told to leave: at most a quarter of it."""
    walltime = walltime_seconds(site.walltime) if site.walltime else DEFAULT_WALLTIME
    return min(LEAD, walltime // 4)


def suggest_tasks(shards: ShardTable, site: Site, *, core_seconds: float | None = None) -> int:
    """Tasks of an array that is to end within half of the time limit.

    Parameters
    ----------
    shards : ShardTable
        What is to be run.
    site : Site
        Cores and time limit of a task.
    core_seconds : float, optional
        Core time of the whole; by default what was estimated when the shards were cut.
    """
    cost = shards.cost if core_seconds is None else core_seconds
    walltime = walltime_seconds(site.walltime) if site.walltime else DEFAULT_WALLTIME
    cores = site.cores or 1
    return max(1, min(ceil(len(shards) / cores), ceil(cost / (cores * walltime / 2))))


def _options(site: Site) -> tuple[str, ...]:
    cores = (f"--cpus-per-task={site.cores}",) if site.cores else ()
    memory = (f"--mem={site.memory // 2**20}M",) if site.memory else ()
    return (*cores, *memory, *site.options)


def _await_jobs(folder: ArrayFolder, number: int) -> None:
    """Wait until the first job of a round is known, which another process may submit just now.

    One that was killed as it did will never say.
    """
    deadline = time.monotonic() + SUBMIT_SECONDS
    while (
        folder.round(number).exists()
        and not folder.jobs(number).exists()
        and time.monotonic() < deadline
    ):
        time.sleep(0.2)


def submit_round(
    output: Output,
    number: int,
    missing: Spans,
    *,
    tasks: int,
    further: int,
    limits: Limits,
    environment: Mapping[str, str] | None = None,
) -> list[str]:
    """Submit a round, and give the ids of its jobs; the last is the one that ends it.

    Parameters
    ----------
    output : Output
        Output folder, with the scripts.
    number : int
        The round.
    missing : Spans
        Shards that are to be done.
    tasks : int
        Tasks that share them, at most.
    further : int
        How many rounds may follow.
    limits : Limits
        What the site allows.
    environment : mapping, optional
        What travels into the jobs.

    Raises
    ------
    PyhpcError
        If another process submits this round, or SLURM refuses it.
    """
    folder = ArrayFolder.of(output)
    name = new_attempt()
    isolated = _worth_isolating(output, missing) if number > 1 else frozenset()
    one = Round(name, number, missing, isolated, min(tasks, len(missing), limits.jobs - 1))
    if not create(folder.round(number), one.encode(), name):
        raise PyhpcError(
            f"another process submits round {number} of {output.path} just now",
            f"Watch it with: pyhpc status {output.path}",
        )
    jobs: list[str] = []

    def submit(script: Path, *arguments: int, option: str) -> None:
        words = [str(argument) for argument in arguments]
        jobs.append(sbatch(str(script), *words, options=[option], environment=environment))
        write(folder.jobs(number), to_json(jobs), name)

    try:
        for first, count in _arrays(one.tasks, limits.array_size):
            try:
                submit(folder.array, number, first, option=f"--array=0-{count - 1}")
            except SlurmError as error:
                # The tasks that were taken help themselves to the shares of those that were not.
                if jobs and error.is_submit_limit:
                    break
                raise
        after = f"--dependency=afterany:{':'.join(jobs)}"
        submit(folder.finish, number, further, option=after)
    except BaseException:
        if jobs:
            slurm("scancel", *jobs)
        folder.round(number).unlink()
        folder.jobs(number).unlink(missing_ok=True)
        raise
    return jobs


def _arrays(tasks: int, limit: int) -> Iterator[tuple[int, int]]:
    """First task and number of tasks of each array."""
    for first in range(0, tasks, limit):
        yield first, min(limit, tasks - first)


def _worth_isolating(output: Output, missing: Spans) -> frozenset[int]:
    """Missing shards of which attempts have ended without a word again and again."""
    begun: dict[int, int] = {}
    wanted = set(missing)
    for path in output.attempts.glob("*.log"):
        index = int(path.name.partition("-")[0])
        if index in wanted:
            begun[index] = begun.get(index, 0) + 1
    return frozenset(index for index, times in begun.items() if times >= ISOLATE_AFTER)


class ArrayRun:
    """A job that an array works through."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._tally = Tally(job)
        self._pending = [trial.index for trial in self._tally.trials()]
        self._left = False

    @property
    def output(self) -> Output:
        """Output folder."""
        return self._job.output

    @property
    def jobs(self) -> list[str]:
        """Ids of the jobs so far."""
        return ArrayFolder.of(self._job.output).job_ids()

    def status(self) -> Status:
        """Say how far it is, from the disk alone."""
        self._pending = [k for k in self._pending if not self._tally.look(k)]
        return self._tally.status()

    def cancel(self, *, drain: bool) -> None:
        """Stop waiting; the jobs go on."""
        self._left = True

    def wait(self, on_status: Callable[[Status], None] = lambda status: None) -> Status:
        """Wait until no job is left."""
        while not self._left:
            alive = waiting_jobs(self.jobs)
            started = time.monotonic()
            status = self.status()
            on_status(status)
            if not alive:
                break
            # A look at many shards takes a while, and shall not be most of what the disk does.
            pause = max(1.0, 10 * (time.monotonic() - started))
            end = time.monotonic() + pause
            while time.monotonic() < end and not self._left:
                time.sleep(0.1)
        return self.status()
