"""``python -m benchmarks [PART ...] [--quick]``: measure, write results, tables and plots.

Without a part, all of them. ``results.json``, the tables in ``README.md`` and ``plots/`` are
written into the folder of this package, or that of ``--out``; of the parts that are not run, what
``results.json`` holds is kept. The exit status is 1 if an error exceeds its limit; times are never
judged.
"""

from __future__ import annotations

# isort: off
import benchmarks.single_thread  # noqa: F401  # before NumPy
# isort: on

import argparse
import sys
import time
import warnings
from pathlib import Path

from benchmarks import machine, plots, tables
from benchmarks.harness import FULL, QUICK
from benchmarks.parts import PARTS
from benchmarks.results import Results
from pyhpc.crystals import read_records


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of {', '.join(PARTS)} (all)")
    parser.add_argument("--quick", action="store_true", help="a few shipped crystals")
    parser.add_argument("--out", type=Path, help="folder for what is written")
    options = parser.parse_args()
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    effort = QUICK if options.quick else FULL
    folder = options.out or (None if options.quick else Path(__file__).parent)
    warnings.simplefilter("ignore")

    # A thread works in the pool that it asks for first, and what is compared here asks for one.
    read_records([], threads=1)
    results = Results.load(folder) if folder else Results()
    here = machine.describe()
    is_same = here["processor"] == results.machine.get("processor")
    # One part alone on another machine leaves the others what they were measured with.
    if is_same or not (options.parts and results.parts):
        results.machine, results.versions = here, machine.versions()
        results.peak = machine.peak(quick=options.quick) or results.peak
    violated = []
    for name in options.parts or PARTS:
        start = time.perf_counter()
        found = []
        for row in PARTS[name](effort):
            found.append(row)
            print(tables.line(row), flush=True)
        violated += [row for row in found if row.is_violated]
        results.add(name, found, here["processor"])
        print(f"-- {name}: {time.perf_counter() - start:.0f} s\n", flush=True)
        if folder:
            results.save(folder)
    if folder:
        tables.write(folder / "README.md", results)
        plots.write(folder / "plots", results)
    for row in violated:
        print(f"error above its limit: {tables.line(row)}", file=sys.stderr)
    return 1 if violated else 0


if __name__ == "__main__":
    sys.exit(main())
