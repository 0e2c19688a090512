"""``pyhpc shard``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pyhpc.cli.interrupts import Interrupts
from pyhpc.cli.options import reading_options, storage_path
from pyhpc.cli.packing import pack_sources


@click.command("shard")
@click.argument("sources", nargs=-1, required=True)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder for the shard files."
)
@reading_options
def shard_command(sources: tuple[str, ...], out: Path, **reading: Any) -> None:
    """Pack SOURCES into few large shard files.

    A source is a file, a folder, a pattern, an archive (.tar, .tar.gz, .zip), or a table (CSV,
    Parquet, JSON) with a column of CIF text or of pymatgen's JSON.
    """
    with Interrupts():
        packing = pack_sources(sources, storage_path(out), **reading)
    click.echo(
        f"{packing.records:,} records in {len(packing.shards):,} shards in {out}, estimated at "
        f"{packing.shards.cost:,.0f} s on one core"
    )
    click.echo(f"Next: pyhpc featurize --shards {out} --out OUT")
