"""``python -m benchmarks.models``: cross-validation of models and strategies on large tables.

Rows of 300 features are drawn from those of the shipped crystals, with noise. Each strategy is
cross-validated, and two peers of the plain boosted trees: ``xgb.cv``, which copies the data for
every fold, and scikit-learn's histogram boosting. Each figure is taken in a process of its own, and
kept in ``models.json`` and the README beside it.

All features are continuous, so each has as many bins as are allowed, and below some 10^4 rows the
time of a tree is that of looking through the bins of its nodes, whatever the number of rows: 45 ms
with the usual 256 bins, depth 6 and 300 features. Hence 64 bins, here and for the peers.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from benchmarks import machine

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pyhpc.models import Model

N_FEATURES = 300
FOLDS, TREES = {1_000_000: 2}, {1_000_000: 10}
"""By number of rows; 5 folds and 50 boosting rounds for all others."""
DEPTH = 6
BINS = 64
PAGE_ROWS = 50_000
SIZES = (1_000, 10_000)
"""Rows that a machine of two cores runs in a few minutes; 100,000 and 1,000,000 on request."""

QUICK = (500,)

FILE = "models.json"
BEGIN = "<!-- models: begin; written by python -m benchmarks.models -->"
END = "<!-- models: end -->"


@dataclass(frozen=True)
class Row:
    """One cross-validation.

    Attributes
    ----------
    what : str
        Strategy or peer.
    rows, device, threads
        On what.
    folds, trees : int
        Number of folds, and boosting rounds of each fit.
    wall, cpu : float
        Seconds, and those of all processors.
    memory : float
        Peak beyond the data, in bytes.
    rmse : float
        Of the rows that were not seen.
    """

    what: str
    rows: int
    device: str
    threads: int
    folds: int
    trees: int
    wall: float
    cpu: float
    memory: float
    rmse: float

    @property
    def place(self) -> tuple[str, int, str]:
        """What a newer row replaces."""
        return self.what, self.rows, self.device


def make_rows(n_rows: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Draw features and targets; a third of the rows lacks the last fifty features."""
    from pyhpc import featurize
    from pyhpc.crystals import iter_records, read_records
    from pyhpc.gallery import crystals_path

    made = featurize(read_records(list(iter_records([str(crystals_path())]))).batch)
    columns = [
        made[name].cast(pa.float64()).to_numpy(zero_copy_only=False)
        for name, kind in zip(made.column_names, made.schema.types, strict=True)
        if pa.types.is_floating(kind) or pa.types.is_integer(kind)
    ]
    real = np.nan_to_num(np.stack(columns, axis=1))
    real = (real - real.mean(axis=0)) / np.maximum(real.std(axis=0), 1e-12)
    generator = np.random.default_rng(5)
    rows = np.empty((n_rows, N_FEATURES), dtype=np.float32)
    k = min(real.shape[1], N_FEATURES)
    rows[:, :k] = real[generator.integers(len(real), size=n_rows), :k]
    rows[:, k:] = 0.0
    rows += 0.3 * generator.standard_normal(rows.shape, dtype=np.float32)
    weights = generator.standard_normal(N_FEATURES) / np.sqrt(N_FEATURES)
    target = rows @ weights + 0.3 * generator.standard_normal(n_rows)
    rows[generator.random(n_rows) < 1 / 3, -50:] = np.nan
    return rows, target.astype(np.float64)


def n_folds(n_rows: int) -> int:
    """Give the number of folds of a table."""
    return FOLDS.get(n_rows, 5)


def n_trees(n_rows: int) -> int:
    """Give the boosting rounds of each fit to a table."""
    return TREES.get(n_rows, 50)


def strategies(n_rows: int) -> dict[str, Model]:
    """All strategies by name, over the same trees."""
    from pyhpc.models import from_spec

    names = [f"f{k}" for k in range(N_FEATURES)]
    trees: dict[str, Any] = {
        "kind": "xgboost",
        "n_trees": n_trees(n_rows),
        "max_depth": DEPTH,
        "learning_rate": 0.1,
        "subsample": 1.0,
        "colsample_bytree": 1.0,
        "max_bin": BINS,
        "min_child_weight": 1.0,
    }
    base, full = trees | {"features": names[:-50]}, trees | {"features": names}
    two = {"baseline": base, "specialist": full, "indicators": ["has"]}
    return {
        name: from_spec(spec)
        for name, spec in {
            "xgboost": full,
            "xgboost, paged": full | {"page_rows": PAGE_ROWS},
            "gated": {"kind": "gated", **two},
            "bagged, 2": {"kind": "bagged", "model": full, "n": 2},
            "residual": {"kind": "residual", "n_folds": 3, **two},
            "soft gate": {"kind": "soft_gate", "n_folds": 3, **two},
        }.items()
    }


def _ours(name: str, rows: Any, target: Any, device: str, threads: int) -> Callable[[], float]:
    from pyhpc.models import Compute, Target, cross_validate
    from pyhpc.models.splits import random_folds

    table = pa.table({f"f{k}": rows[:, k] for k in range(N_FEATURES)})
    table = table.append_column("has", pa.array(np.isfinite(rows[:, -1]).astype(np.int8)))
    del rows
    model, known = strategies(len(target))[name], Target.measured(target)
    folds = random_folds(len(target), n_folds(len(target)), 0)

    def run() -> float:
        found = cross_validate(model, table, known, folds, Compute(0, threads, device))
        return float(np.sqrt(np.mean((found.prediction - target[found.rows]) ** 2)))

    return run


def _xgb_cv(rows: Any, target: Any, device: str, threads: int) -> Callable[[], float]:
    import xgboost

    def run() -> float:
        data = xgboost.DMatrix(rows, target, nthread=threads)
        parameters = {
            "tree_method": "hist",
            "device": device,
            "nthread": threads,
            "max_depth": DEPTH,
            "learning_rate": 0.1,
            "max_bin": BINS,
        }
        n = len(target)
        found = xgboost.cv(parameters, data, n_trees(n), nfold=n_folds(n), as_pandas=False)
        return float(found["test-rmse-mean"][-1])

    return run


def _hist(rows: Any, target: Any, device: str, threads: int) -> Callable[[], float]:
    from sklearn.ensemble import HistGradientBoostingRegressor

    from pyhpc.models.splits import random_folds

    del device, threads

    def run() -> float:
        errors = []
        for train, test in random_folds(len(target), n_folds(len(target)), 0):
            model = HistGradientBoostingRegressor(
                max_iter=n_trees(len(target)),
                max_depth=DEPTH,
                max_leaf_nodes=None,
                max_bins=BINS,
                early_stopping=False,
            )
            model.fit(rows[train], target[train])
            errors.append((model.predict(rows[test]) - target[test]) ** 2)
        return float(np.sqrt(np.concatenate(errors).mean()))

    return run


PEERS = {"xgb.cv": _xgb_cv, "HistGradientBoosting": _hist}


def measure(name: str, n_rows: int, device: str, threads: int) -> dict[str, float]:
    """Run one of them in this process: seconds, bytes beyond the data, error."""
    rows, target = make_rows(n_rows)
    if name in PEERS:
        run = PEERS[name](rows, target, device, threads)
    else:
        run = _ours(name, rows, target, device, threads)
        del rows
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu = time.perf_counter(), time.process_time()
    rmse = run()
    return {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "memory": 1024.0 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before),
        "rmse": rmse,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.models")
    parser.add_argument("--rows", type=int, nargs="+", help=f"sizes ({SIZES})")
    parser.add_argument("--only", nargs="+", metavar="WHAT", help="some strategies or peers")
    parser.add_argument("--quick", action="store_true", help=f"sizes {QUICK}, nothing is written")
    parser.add_argument("--device", choices=["cpu", "cuda"], help="where (a GPU if there is one)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder of results")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        size = options.rows[0]
        print(json.dumps(measure(options.one, size, options.device, options.threads)))
        return
    from pyhpc.models import best_device

    every = (*strategies(0), *PEERS)
    unknown = set(options.only or ()) - set(every)
    if unknown:
        parser.error(f"no {', '.join(sorted(unknown))}; there are {', '.join(every)}")
    device = options.device or best_device()
    print("\n".join(_HEAD))
    for size in options.rows or (QUICK if options.quick else SIZES):
        for name in every:
            if options.only and name not in options.only:
                continue
            found = _measured(name, size, options, device)
            row = Row(name, size, device, options.threads, n_folds(size), n_trees(size), **found)
            print(_line(row, None), flush=True)
            if not options.quick:
                keep(options.out, row)


def _measured(name: str, size: int, options: argparse.Namespace, device: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.models", "--one", name, "--rows", str(size)]
    command += ["--device", device, "--threads", str(options.threads)]
    # Threads that wait for others give their core away: where other work shares the cores, those
    # that spin at each of the many barriers of a small fit take several times its own work.
    waiting = {"OMP_NUM_THREADS": str(options.threads), "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(
        command, env=os.environ | waiting, stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def keep(folder: Path, row: Row) -> None:
    """Put a row in the place of its like in the file of results, and all into the README."""
    file = folder / FILE
    stored = json.loads(file.read_text())["rows"] if file.exists() else []
    rows = {one.place: one for one in [*(Row(**old) for old in stored), row]}
    ordered = sorted(rows.values(), key=lambda one: (one.device, one.rows))
    kept = {"machine": machine.describe(), "rows": [asdict(one) for one in ordered]}
    file.write_text(json.dumps(kept, indent=1) + "\n")
    first = {(one.rows, one.device): one.cpu for one in ordered if one.what == "xgboost"}
    lines = [_line(one, first.get((one.rows, one.device))) for one in ordered]
    readme = folder / "README.md"
    text = readme.read_text() if readme.exists() else f"{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    readme.write_text(
        "\n".join([before + BEGIN, "", *_HEAD, *lines, "", END + rest.partition(END)[2]])
    )


_HEAD = (
    "| rows | folds, trees | what | device, threads | wall s | cpu s | over xgboost | MiB | RMSE |",
    "| ---: | ---: | --- | --- | ---: | ---: | ---: | ---: | ---: |",
)


def _line(row: Row, first: float | None) -> str:
    """One row of the table; ``first`` is the time that others are compared with."""
    ratio = f"{row.cpu / first:.2f}" if first else ""
    return (
        f"| {row.rows:,} | {row.folds}, {row.trees} | {row.what} | {row.device}, {row.threads} | "
        f"{row.wall:.2f} | {row.cpu:.2f} | {ratio} | {row.memory / 2**20:.0f} | {row.rmse:.3f} |"
    )


if __name__ == "__main__":
    main()
