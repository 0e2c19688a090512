"""Options that say what is to be computed, and the job that they make."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pyhpc.cli.options import Bytes, reading_options, storage_path
from pyhpc.cli.packing import pack_sources
from pyhpc.executors import Job
from pyhpc.shards import Guard, Output, Packing, Plan
from pyhpc.tasks import make_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyhpc.shards import Task


def feature_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of the features; the command gets them as one, ``task``."""
    options = [
        click.option("--groups", help="Feature groups, separated by commas.  [default: all]"),
        click.option("--mobile-ion", default="Li", show_default=True, help="The ion that moves."),
        click.option(
            "--max-sites",
            type=click.IntRange(min=1),
            help="Most sites of a cell.  [default: 20000]",
        ),
    ]

    @functools.wraps(command)
    def run(*, groups: str | None, mobile_ion: str, max_sites: int | None, **others: Any) -> Any:
        parameters: dict[str, Any] = {"mobile_ion": mobile_ion}
        if groups is not None:
            parameters["groups"] = [group.strip() for group in groups.split(",") if group.strip()]
        if max_sites is not None:
            parameters["limits"] = {"max_sites": max_sites}
        return command(task=make_task("featurize", parameters), **others)

    return _with(options, run)


def plan_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a plan; the command gets them as one, ``plan``, which makes the job.

    ``plan(write=False)`` makes it without a trace on the disk.
    """
    options = [
        click.argument("sources", nargs=-1),
        click.option(
            "--shards",
            type=click.Path(path_type=Path),
            help="Folder that pyhpc shard made, in place of SOURCES.",
        ),
        click.option(
            "--out", required=True, type=click.Path(path_type=Path), help="Output folder."
        ),
        click.option(
            "--record-seconds",
            type=click.FloatRange(min=0, min_open=True),
            default=Guard().record_seconds,
            show_default=True,
            help="Time after which a record is quarantined.",
        ),
        click.option(
            "--record-memory",
            type=Bytes(),
            default="2G",
            show_default=True,
            help="Memory beyond which a record that ended its worker is quarantined.",
        ),
    ]

    @functools.wraps(command)
    def run(
        *,
        sources: tuple[str, ...],
        shards: Path | None,
        out: Path,
        task: Task,
        record_seconds: float,
        record_memory: int,
        **others: Any,
    ) -> Any:
        if bool(sources) == bool(shards):
            raise click.UsageError("Give either SOURCES or --shards.")
        reading = {name: others.pop(name) for name in _READING}

        def plan(*, write: bool = True) -> Job:
            output = Output(storage_path(out))
            if shards is not None:
                packing = Packing.load(shards.absolute())
            elif write:
                packing = pack_sources(sources, output.shards, **reading)
            else:
                raise click.UsageError("Pack the sources first (pyhpc shard), then give --shards.")
            made = Plan.make(output, packing, task, Guard(record_seconds, record_memory))
            return Job(output, made.create(output) if write else made, task, packing.folder)

        return command(plan=plan, **others)

    return _with(options, reading_options(feature_options(run)))


_READING = ("text_column", "id_column", "max_text_bytes", "records_per_shard", "shard_seconds")


def _with(options: list[Any], command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(options):
        command = option(command)
    return command
