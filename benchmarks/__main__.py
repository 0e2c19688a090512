"""``python -m benchmarks [parity|coverage|speed ...] [--quick]``: print tables as Markdown."""

from __future__ import annotations

import argparse

from benchmarks import coverage, parity, speed
from benchmarks.data import available

PARTS = ("parity", "coverage", "speed")
QUICK = 8
"""Records of each set in quick mode."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="which parts (all)")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} records of each set")
    options = parser.parse_args()
    limit = QUICK if options.quick else None
    parts = options.parts or PARTS
    if "parity" in parts:
        _row("what", "peer", "data", "compared", "worst", "median", "unit", "differing")
        _row(*["---"] * 8)
        for d in parity.run(limit):
            worst, median = f"{d.worst:.1e}", f"{d.median:.1e}"
            _row(d.what, d.peer, d.data, d.compared, worst, median, d.unit, d.differing)
        print()
    if "coverage" in parts and "obelix" in available():
        _row("on the OBELiX crystals", "")
        _row("---", "---")
        for what, value in coverage.run(step=40 if options.quick else 1).items():
            _row(what, f"{value:.4g}" if isinstance(value, float) else value)
        print()
    if "speed" in parts:
        _row("what", "data", "crystals", "sites", "ms, pyhpc", "peer", "ms, peer", "ratio")
        _row(*["---"] * 8)
        for t in speed.run(limit):
            times = f"{t.ours:.3f}", t.peer, f"{t.theirs:.2f}"
            _row(t.what, t.data, t.crystals, f"{t.sites:.1f}", *times, f"{t.ratio:.0f}")


def _row(*cells: object) -> None:
    print("|", " | ".join(map(str, cells)), "|", flush=True)


if __name__ == "__main__":
    main()
