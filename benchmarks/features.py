"""The whole way from CIF text to a committed Parquet part, and pymatgen + matminer on the same."""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import data, peer_features
from benchmarks.harness import Comparison, Row, System, Work
from pyhpc.crystals import read_records
from pyhpc.executors import InlineExecutor, Job
from pyhpc.features import featurize_with_reasons
from pyhpc.shards import Guard, Output, Plan, ShardSize, pack
from pyhpc.shards.attempts import AttemptTotals, total_attempts
from pyhpc.tasks.featurize import FeaturizeTask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.harness import Effort
    from pyhpc.records import Record

RECORDS = {"gallery": 96, "obelix": 321, "mp": 1_000, "elasticity": 11_269}
PEER_RECORDS = {"gallery": 60, "obelix": 30, "mp": 120}
MAX_SITES = 60
TOLERANCE = 1e-6
"""Relative deviation from which a value counts as another one."""

BATCH = 2_000
"""Records of a batch of ours beside the peers, about as many as a shard has: each of theirs several
times over. What a batch costs once would be shared by too few otherwise; peers go one by one."""

LIMIT = 0.01
WHOLE_SECONDS = 8.0
"""For the repetitions of a whole run of a set, in full mode."""

WHOLE = "CIF text to Parquet part"
STAGE = "stage "


def run(effort: Effort) -> Iterator[Row]:
    """Time whole runs, with the share of each stage, then the peers on a few of the records."""
    for name in data.available(data.SETS, quick=effort.quick):
        records = data.sample(name, 12 if effort.quick else RECORDS[name]).records
        yield from _whole(name, records, effort)
    for name in data.available(quick=effort.quick):
        yield from _against_peers(name, effort)


def _whole(name: str, records: list[Record], effort: Effort) -> Iterator[Row]:
    """CIF text to Parquet part and ledger, all features, one core.

    Stages are by the wall clock, the least of the repetitions.
    """
    compare = Comparison("features", WHOLE, "share of records lost", 0.0)
    with tempfile.TemporaryDirectory(prefix="pyhpc-bench-") as folder:
        root = Path(folder)
        packing = pack(records, root / "shards", inputs={"set": name}, cost=_cost, size=ShardSize())
        numbers = itertools.count()
        totals: list[AttemptTotals] = []
        task = FeaturizeTask()

        def once() -> int:
            output = Output(root / f"out{next(numbers)}")
            output.make()
            plan = Plan.make(output, packing, task, Guard()).create(output)
            status = InlineExecutor(threads=1).submit(Job(output, plan, task)).wait()
            totals.append(total_attempts(output))
            return sum(status.outcomes.values())

        lost = lambda treated: 1 - treated / len(records)  # noqa: E731
        batch = data.sample(name, len(records)).batch
        system = System(name, len(records), batch.n_sites)
        if not effort.quick:
            effort = replace(effort, seconds=WHOLE_SECONDS)
        yield from compare.rows(system, effort, Work("pyhpc", lambda: once, lost), [])
    seconds = {stage: [one.seconds[stage] for one in totals] for stage in totals[0].seconds}
    others = [one.wall_seconds - sum(one.seconds.values()) for one in totals]
    for stage, times in (seconds | {"rest": others}).items():
        yield Row("features", STAGE + stage, name, len(records), batch.n_sites, min(times))


def _cost(record: Record) -> float:
    """One shard for all."""
    return 0.0


def _against_peers(name: str, effort: Effort) -> Iterator[Row]:
    """All columns of records on which the peers succeed."""
    compare = Comparison("features", "all columns", "share of values that differ", LIMIT)
    n = 8 if effort.quick else 10 * PEER_RECORDS[name]
    chosen = data.sample(name, n)
    peer = Work("pymatgen + matminer", lambda: lambda: None, None, "matminer")
    if not peer.is_installed:
        yield compare.left_out(System(name, 0, 0), peer.name, "matminer is not installed")
        return
    texts, records, theirs = [], [], []
    for k in data.small(chosen.batch, MAX_SITES):
        values = peer_features.compute(chosen.text(k))
        if values is not None:
            texts.append(chosen.text(k))
            records.append(chosen.records[chosen.positions[k]])
            theirs.append(values)
        if len(texts) == (2 if effort.quick else PEER_RECORDS[name]):
            break
    peer = Work(
        peer.name, lambda: lambda: [peer_features.compute(text) for text in texts], None, "matminer"
    )
    rounds = 2 if effort.quick else -(-BATCH // len(records))
    shard = records * rounds
    ours = Work(
        "pyhpc",
        lambda: (
            lambda: featurize_with_reasons(read_records(shard, threads=1).batch, threads=1).table
        ),
        lambda table: _differing(table.to_pylist(), theirs * rounds),
        rounds=rounds,
    )
    batch = read_records(records).batch
    yield from compare.rows(data.system(name, batch), effort, ours, [peer])


def _differing(ours: list[dict[str, Any]], theirs: list[dict[str, float]]) -> float:
    """Share of the values that both define alike and that differ."""
    differ = total = 0
    for mine, other in zip(ours, theirs, strict=True):
        for column, value in other.items():
            scale = max(abs(value), 1e-3)
            total += 1
            differ += not abs(mine[column] - value) <= TOLERANCE * scale
    return differ / total
