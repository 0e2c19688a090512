"""How Dask workers on the nodes of a cluster are started, whatever starts them."""

from __future__ import annotations

import contextlib
import shlex
from typing import TYPE_CHECKING

from pyhpc.errors import PyhpcError
from pyhpc.executors.dask_settings import SETTINGS
from pyhpc.executors.environment import ENVIRONMENT

if TYPE_CHECKING:
    from pathlib import Path

NANNY_MEMORY = 256 * 2**20
"""Memory of a node that is not for its workers: the process that starts and watches them."""

DEATH_SECONDS = 60
"""Time after which a worker that can't reach its scheduler gives up. Workers of a killed driver
that are connected end as their connection breaks; those that start later end after this time."""


def memory_for_workers(memory: int) -> int:
    """Give the memory for the workers of a node, of which they have so much in all, in bytes.

    Raises
    ------
    PyhpcError
        If nothing is left for them.
    """
    if memory <= 2 * NANNY_MEMORY:
        raise PyhpcError(
            f"a job of {memory / 2**20:.0f} MiB has no memory for workers",
            f"Give it more than {2 * NANNY_MEMORY / 2**20:.0f} MiB.",
        )
    # Dask ends a worker before the kernel ends one that it chooses itself.
    return memory - NANNY_MEMORY


def worker_arguments(name: str, keys: dict[str, Path]) -> list[str]:
    """Arguments of the command that runs workers, quoted for the shell.

    Parameters
    ----------
    name : str
        Its name, a word of shell.
    keys : dict of str to Path
        Options with the paths of the keys.
    """
    # One shard at a time in each process: its kernels have threads of their own.
    arguments = ["--name", name, "--nthreads", "1"]
    arguments += ["--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
    for option, path in keys.items():
        arguments += [option, shlex.quote(str(path))]
    return arguments


def worker_settings() -> list[str]:
    """Lines of shell that give workers the settings of Dask, and their environment."""
    lines = [f"export {name}={value}" for name, value in ENVIRONMENT.items()]
    for key, value in SETTINGS.items():
        name = "DASK_" + key.replace(".", "__").replace("-", "_").upper()
        lines.append(f"export {name}={shlex.quote(str(value))}")
    return lines


def end_of_log(path: Path, lines: int = 12) -> str:
    """Last lines of what workers printed."""
    with contextlib.suppress(OSError):
        text = path.read_text(errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in text[-lines:]) or "  (it is empty)"
    return "  (there is none)"
