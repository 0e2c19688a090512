"""Options that several commands share."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from pyhpc.errors import PyhpcError
from pyhpc.executors import EXECUTORS, Resources, Site, make_executor
from pyhpc.executors.site import parse_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Bytes(click.ParamType[int]):
    """A number of bytes, such as 16M or 1.5GiB."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Convert from text."""
        if isinstance(value, int):
            return value
        size = parse_bytes(value)
        if size is None:
            self.fail(f"{value!r} is no number of bytes; write 500M, 16MiB, 2G", param, ctx)
        return size


OUTPUT = click.argument("out", type=click.Path(path_type=Path))
"""The output folder of a run, as an argument."""

PACKING = click.option(
    "--shards",
    "packing",
    type=click.Path(path_type=Path),
    help="Folder of the shard files, if it was moved since the run was planned.",
)
"""Where the shards are now."""


def reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how sources are read and cut into shards."""
    options: list[Decorator] = [
        click.option("--text-column", help="Column with the structures, in tables."),
        click.option("--id-column", help="Column with the names of records, in such sources."),
        click.option(
            "--max-text-bytes",
            type=Bytes(),
            help="Largest text of a record, after decompression.  [default: 16M]",
        ),
        click.option(
            "--records-per-shard",
            type=click.IntRange(min=1),
            default=2000,
            show_default=True,
            help="Records of a shard.",
        ),
        click.option(
            "--shard-seconds",
            type=click.FloatRange(min=0, min_open=True),
            default=120.0,
            show_default=True,
            help="Estimated time of a shard on one core.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def executor_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say where to run; the command gets them as one, ``executor``."""
    options: list[Decorator] = [
        click.option(
            "--on",
            type=click.Choice(EXECUTORS),
            default="local",
            show_default=True,
            help="Where to run: on this machine's cores (local), in SLURM jobs that talk to this "
            "process (slurm), in a SLURM array that needs no process (array), on all nodes of the "
            "SLURM allocation that this process is in (allocation), or in this process (inline).",
        ),
        click.option(
            "--workers",
            type=click.IntRange(min=0),
            help="Worker processes on this machine; 0 is --on inline.  [default: the cores this "
            "process may use]",
        ),
        click.option("--memory", type=Bytes(), help="Memory of a worker here, or of a job."),
        click.option("--site", help="Profile of the cluster: a name or a TOML file."),
        click.option(
            "--jobs", type=click.IntRange(min=1), help="Most jobs at a time.  [default: 4]"
        ),
        click.option("--cores", type=click.IntRange(min=1), help="Cores of a job."),
        click.option("--walltime", help="Time limit of a job, such as 4:00:00."),
        click.option("--partition", help="Partition to submit to."),
        click.option("--account", help="Account to charge."),
        click.option("--qos", help="Quality of service to ask for."),
    ]

    @functools.wraps(command)
    def run(
        *,
        on: str,
        workers: int | None,
        memory: int | None,
        site: str | None,
        jobs: int | None,
        **others: Any,
    ) -> Any:
        given = {name: others.pop(name) for name in _SITE_OPTIONS}
        profile = Site.load(site).override(memory=memory, **given)
        name = "inline" if workers == 0 and on == "local" else on
        resources = Resources(workers=workers, memory=memory, jobs=jobs, site=profile)
        return command(executor=make_executor(name, resources), **others)

    wrapped: Callable[..., Any] = run
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped


_SITE_OPTIONS = ("cores", "walltime", "partition", "account", "qos")


def wide_console(*, markup: bool = True) -> Console:
    """Console for wide tables, which stay wide where the output goes to a file."""
    return Console(highlight=False, markup=markup, width=None if sys.stdout.isatty() else 140)


def storage_path(path: Path) -> Path:
    """Refuse an output folder that can't be one, before any work is done."""
    if path.exists() and not path.is_dir():
        raise PyhpcError(f"{path} is a file", "Choose another --out.")
    return path.absolute()
