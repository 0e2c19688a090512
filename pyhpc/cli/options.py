"""Options that several commands share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from pyhpc.errors import PyhpcError

if TYPE_CHECKING:
    from collections.abc import Callable

    Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

_UNITS = {"": 1, "B": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


class Bytes(click.ParamType[int]):
    """A number of bytes, such as 16M or 1.5GiB."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Convert from text."""
        if isinstance(value, int):
            return value
        text = value.strip().upper().removesuffix("IB")
        text = text[:-1] if len(text) > 1 and text[-1] == "B" and text[-2] in "KMGT" else text
        number, unit = (text[:-1], text[-1]) if text[-1:].isalpha() else (text, "")
        try:
            size = int(float(number) * _UNITS[unit])
        except (ValueError, KeyError, OverflowError):
            size = 0
        if size <= 0:
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
        click.option("--text-column", help="Column with the CIF text, in CSV and Parquet sources."),
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


def wide_console(*, markup: bool = True) -> Console:
    """Console for wide tables, which stay wide where the output goes to a file."""
    return Console(highlight=False, markup=markup, width=None if sys.stdout.isatty() else 140)


def storage_path(path: Path) -> Path:
    """Refuse an output folder that can't be one, before any work is done."""
    if path.exists() and not path.is_dir():
        raise PyhpcError(f"{path} is a file", "Choose another --out.")
    return path.absolute()
