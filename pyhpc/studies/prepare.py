"""All of a study that comes before its fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyhpc.models import best_device
from pyhpc.shards.files import make_folder
from pyhpc.studies.fits import Fit, Variant, list_variants, plan_fits
from pyhpc.studies.folds import make_folds, with_folds, with_groups
from pyhpc.studies.subsets import subset_rows
from pyhpc.studies.table import StudyTable, build_table, store_table

if TYPE_CHECKING:
    from pathlib import Path

    from pyhpc.models import Folds
    from pyhpc.studies.job import Job
    from pyhpc.studies.structures import Runner


@dataclass(frozen=True, eq=False)
class Prepared:
    """A study whose fits can be run.

    Attributes
    ----------
    job : Job
        What the file says.
    study : StudyTable
        Rows.
    variants : list of Variant
        Experiments as they are run.
    folds : dict of (str, int) to Folds
        Folds by split and seed.
    fits : list of Fit
        All fits.
    table : Path
        File of the table, with its folds.
    table_sha256 : str
        Its hash.
    device : str
        Where fits run.
    """

    job: Job
    study: StudyTable
    variants: list[Variant]
    folds: dict[tuple[str, int], Folds]
    fits: list[Fit]
    table: Path
    table_sha256: str
    device: str


def prepare(job: Job, work: Path, run: Runner) -> Prepared:
    """Make the table, the folds and the list of fits of a study.

    Parameters
    ----------
    job : Job
        The study.
    work : Path
        Folder for what is kept between calls.
    run : callable
        Runs a job over shards to its end.

    Raises
    ------
    PyhpcError
        If the data or the job are not as they should be.
    """
    make_folder(work)
    study = with_groups(job, build_table(job, work, run))
    subset_rows(job, study)  # Refuses what no row belongs to, before hours of fits.
    variants = list_variants(job, study)
    made = make_folds(job, study)
    device = best_device() if job.device == "auto" else job.device
    fits = plan_fits(job, study, variants, made, device)
    path = work / "table.parquet"
    sha256 = store_table(with_folds(study, made), path)
    folds = {name: one.folds for name, one in made.items()}
    return Prepared(job, study, variants, folds, fits, path, sha256, device)
