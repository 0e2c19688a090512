"""The commands of SLURM that a run needs, with errors that say what to do."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from pyhpc.errors import PyhpcError
from pyhpc.executors.site import EXPORTED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyhpc.executors.site import Site

SECONDS = 120
"""Longest time of a command: they wait for a controller that is being restarted."""


def slurm(*command: str, environment: Mapping[str, str] | None = None) -> str:
    """Run a command of SLURM and give what it prints.

    Parameters
    ----------
    *command : str
        The command.
    environment : mapping, optional
        Environment of the command, and of the jobs that it submits; by default
        :func:`own_environment`.

    Raises
    ------
    PyhpcError
        If there is no such command here, or it fails.
    """
    environment = own_environment() if environment is None else environment
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except FileNotFoundError:
        raise PyhpcError(
            f"there is no {command[0]} on this machine", "Go to a login node of the cluster."
        ) from None
    except subprocess.TimeoutExpired:
        raise PyhpcError(
            f"{command[0]} gave no answer for {SECONDS} s", "Is the controller up? Try: sinfo"
        ) from None
    if done.returncode != 0:
        said = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
        raise SlurmError(f"{command[0]}: {said}", "See the manual page, or ask your site.")
    return done.stdout.strip()


def own_environment() -> dict[str, str]:
    """Environment of this process, but for what tells of the job that it may belong to."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in EXPORTED or not name.startswith(("SLURM_", "SBATCH_"))
    }


class SlurmError(PyhpcError):
    """SLURM refused a command."""

    @property
    def is_submit_limit(self) -> bool:
        """Whether fewer jobs at once might have been taken."""
        return bool(re.search("SubmitJob|submit limit|Invalid job array", self.message))


def sbatch(
    script: str,
    *arguments: str,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> str:
    """Submit a script, and give the id of its job."""
    words = ("sbatch", "--parsable", *options, script, *arguments)
    return slurm(*words, environment=environment).partition(";")[0]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a site allows.

    Attributes
    ----------
    array_size : int
        Most tasks of an array.
    jobs : int
        Most jobs of a user in the queue, each task of an array counted.
    """

    array_size: int
    jobs: int

    @classmethod
    def of(cls, site: Site) -> Self:
        """Take the limits from a profile, and what it does not say from the controller."""
        size, jobs = site.max_array_size, site.max_jobs
        if size is None or jobs is None:
            text = slurm("scontrol", "show", "config")
            # Half of what the controller bears for all users.
            jobs = jobs or max(_number(text, "MaxJobCount", 10000) // 2, 2)
            size = size or _number(text, "MaxArraySize", 1001)
        return cls(size, jobs)


def _number(text: str, name: str, default: int) -> int:
    found = re.search(rf"^{name}\s*=\s*(\d+)", text, re.MULTILINE)
    return int(found[1]) if found else default


def waiting_jobs(jobs: Sequence[str]) -> dict[str, str]:
    """States of those of some jobs that are in the queue; several for an array."""
    if not jobs:
        return {}
    try:
        lines = slurm("squeue", "-h", "-o", "%i %T", "-j", ",".join(jobs)).splitlines()
    except SlurmError as error:
        if "Invalid job id" in error.message:
            return {}
        raise
    return dict(line.rsplit(" ", 1) for line in lines)
