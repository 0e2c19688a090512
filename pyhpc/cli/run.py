"""``pyhpc run``."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from pyhpc.cli.interrupts import Interrupts
from pyhpc.cli.options import executor_options, storage_path, wide_console
from pyhpc.cli.progress import duration
from pyhpc.cli.watch import check_complete, watch

if TYPE_CHECKING:
    from pyhpc.executors import Executor, Job
    from pyhpc.studies.prepare import Prepared
    from pyhpc.studies.results import Results

_LOG = logging.getLogger("pyhpc.run")


@click.command("run")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Results.  [default: results/NAME]")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the data.")
@click.option(
    "--device",
    type=click.Choice(("auto", "cpu", "cuda")),
    help="Where fits run, in place of what FILE says.",
)
@click.option(
    "--no-test", is_flag=True, help="Leave the test rows unread, as long as the study is changed."
)
@click.option("--dry-run", is_flag=True, help="Say what would be run, and for how long.")
@executor_options
def run_command(
    file: Path,
    out: Path | None,
    data: Path | None,
    executor: Executor,
    *,
    device: str | None,
    no_test: bool,
    dry_run: bool,
) -> None:
    """Run the study that the job FILE describes, from raw data to figures and a report.

    Called again after whatever fault or change of the file, it does what is missing.
    """
    # Imported here, since all other commands do without the extra that models need.
    from pyhpc.models.optional import need
    from pyhpc.report.write import write_results
    from pyhpc.studies.fits import done_fits, run_fits
    from pyhpc.studies.job import read_job
    from pyhpc.studies.prepare import prepare
    from pyhpc.studies.results import assemble

    # Found missing now rather than after the last fit.
    for module in ("jinja2", "matplotlib", "sklearn", "xgboost"):
        need(module)
    job = read_job(file, data=data)
    if device is not None:
        job = replace(job, device=device)
    if no_test:
        job = replace(job, experiments=tuple(replace(e, test=False) for e in job.experiments))
    results_folder = storage_path(out or Path("results") / job.name)
    work = results_folder / "work"
    with Interrupts() as interrupts:
        study_run = _StudyRun(executor, interrupts)
        study_run.log_to(results_folder)
        _LOG.info("study %s from %s", job.name, file)
        prepared = prepare(job, work, study_run)
        done = done_fits(work, {fit.key for fit in prepared.fits})
        missing = {fit.key: fit.seconds for fit in prepared.fits if fit.key not in done}
        if dry_run:
            _show_plan(prepared, missing, executor.cores)
            return
        _LOG.info("%d fits, of which %d are to be run", len(prepared.fits), len(missing))
        # The test rows are read last, when nothing is left that could be changed by them.
        for fits in (
            [fit for fit in prepared.fits if fit.split],
            [fit for fit in prepared.fits if not fit.split],
        ):
            run_fits(fits, prepared.table, prepared.table_sha256, work, study_run)
        _LOG.info("all fits are done; scoring")
        results = assemble(prepared, work)
        write_results(results, results_folder)
        _LOG.info("the report is written")
    _show_scores(results)
    click.echo(f"The report is {results_folder / 'report.html'}.")


class _StudyRun:
    """Runs a job over shards to its end, or leaves when asked to."""

    def __init__(self, executor: Executor, interrupts: Interrupts) -> None:
        self._executor = executor
        self._interrupts = interrupts

    def log_to(self, folder: Path) -> None:
        """Write what happens, with times, to ``run.log``; nothing else in the results has times."""
        folder.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(folder / "run.log", encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        for old in list(_LOG.handlers):
            _LOG.removeHandler(old)
            old.close()
        _LOG.addHandler(handler)
        _LOG.setLevel(logging.INFO)
        _LOG.propagate = False

    def __call__(self, job: Job) -> None:
        _LOG.info(
            "%s: %d records in %d shards", job.plan.task, job.plan.records, len(job.plan.shards)
        )
        run = self._executor.submit(job)
        status, seconds = watch(run, self._interrupts)
        _LOG.info(
            "%s: %d of %d shards done, %.1f s, %d attempts lost",
            job.plan.task,
            status.shards_done,
            status.shards,
            seconds,
            status.lost,
        )
        check_complete(run, status, self._interrupts)


def _show_plan(prepared: Prepared, missing: dict[str, float], cores: int) -> None:
    console = wide_console()
    table = Table(title=prepared.job.title, title_justify="left")
    for heading in ("experiment", "model", "splits"):
        table.add_column(heading, overflow="fold")
    for heading in ("fits", "to run", "core time"):
        table.add_column(heading, justify="right")
    for variant in prepared.variants:
        fits = [fit for fit in prepared.fits if fit.experiment == variant.name]
        left = [fit for fit in fits if fit.key in missing]
        table.add_row(
            variant.name,
            variant.model["kind"],
            ", ".join(variant.experiment.splits),
            str(len(fits)),
            str(len(left)),
            duration(sum(fit.seconds for fit in left)),
        )
    console.print(table)
    console.print(
        f"{len(prepared.fits)} fits, {len(missing)} to run: about "
        f"{duration(sum(missing.values()) / cores)} on {cores} cores ({prepared.device}).",
        soft_wrap=True,
    )


def _show_scores(results: Results) -> None:
    console = wide_console()
    target = results.prepared.job.target.label
    table = Table(title=f"{target}: R2 [95%], MAE", title_justify="left")
    splits = dict.fromkeys(split for scored in results.scored.values() for split in scored)
    table.add_column("experiment")
    for split in splits:
        table.add_column(split, justify="right")
    for name, scored in results.scored.items():
        cells = []
        for split in splits:
            if split not in scored:
                cells.append("")
                continue
            r2, mae = scored[split].scores["r2"], scored[split].scores["mae"]
            cells.append(f"{r2.value:.3f} [{r2.lower:.2f}, {r2.upper:.2f}]  {mae.value:.3f}")
        table.add_row(name, *cells)
    console.print(table)
