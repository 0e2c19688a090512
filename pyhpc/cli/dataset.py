"""``pyhpc dataset``."""

from __future__ import annotations

from pathlib import Path

import click

from pyhpc.cli.options import storage_path
from pyhpc.datasets import DATASETS, fetch


@click.command("dataset")
@click.argument("name", type=click.Choice(list(DATASETS)))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Where to put it.")
@click.option(
    "--from",
    "copy",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of a copy, in place of the publisher's address.",
)
def dataset_command(name: str, out: Path, copy: Path | None) -> None:
    """Get a published data set, and check it against the known hashes."""
    dataset = DATASETS[name]
    fetch(
        dataset,
        storage_path(out),
        copy=copy,
        on_file=lambda file, source: click.echo(f"{file}: {source}"),
    )
    click.echo(f"{out} is whole. {dataset.licence}; cite {dataset.citation}.")
