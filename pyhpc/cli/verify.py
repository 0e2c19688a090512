"""``pyhpc verify``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.console import Console

from pyhpc.cli.interrupts import Interrupts
from pyhpc.cli.options import OUTPUT, PACKING
from pyhpc.errors import PyhpcError
from pyhpc.shards import Output, Plan, repair, verify

if TYPE_CHECKING:
    from pathlib import Path

_SHOWN = 50


@click.command("verify")
@OUTPUT
@PACKING
@click.option(
    "--repair",
    "mend",
    is_flag=True,
    help="Take damaged shards back, so that pyhpc featurize redoes them.",
)
def verify_command(out: Path, packing: Path | None, *, mend: bool) -> None:
    """Compute every hash and count of OUT again."""
    output = Output(out)
    with Interrupts():
        problems = verify(output, packing=packing)
        removed = repair(output, problems) if mend else []
    console = Console(highlight=False, markup=False, soft_wrap=True)
    if not problems:
        plan = Plan.load(output)
        console.print(
            f"{out} is whole: {plan.records:,} records in {len(plan.shards):,} shards, every hash "
            "and count is right."
        )
        return
    for problem in problems[:_SHOWN]:
        console.print(f"{problem.path}: {problem.message}. {problem.remedy}")
    if len(problems) > _SHOWN:
        console.print(f"... and {len(problems) - _SHOWN} more")
    for path in removed:
        console.print(f"removed {path}")
    raise PyhpcError(
        f"{len(problems)} problems in {out}",
        "Give the command again that made it: what was taken back is redone."
        if removed
        else "See above for what to do about each.",
    )
