"""Finish a run: count everything, write the manifest of the whole, sweep the rest away."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from pyhpc.errors import PyhpcError
from pyhpc.records import Outcome
from pyhpc.shards.commit import read_manifest
from pyhpc.shards.files import digest, file_digest, new_attempt, replace, sync_folder, to_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pyhpc.shards.commit import Manifest
    from pyhpc.shards.output import Output
    from pyhpc.shards.plan import Plan


def finish(output: Output, plan: Plan) -> Manifest:
    """Write the manifest of the whole run, and remove what no manifest names.

    Called again, or by several processes, it does the same again.

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    PyhpcError
        If a shard is not done, or the counts do not agree.
    """
    manifests = [read_manifest(output, plan, index) for index in range(len(plan.shards))]
    done = [manifest for manifest in manifests if manifest is not None]
    if len(done) < len(plan.shards):
        raise PyhpcError(
            f"{len(plan.shards) - len(done)} of {len(plan.shards)} shards are not done",
            "Call pyhpc featurize again: it goes on where it stopped.",
        )
    total = total_manifest(output, plan, done)
    if total["records"] != plan.records or total["records"] != sum(total["outcomes"].values()):
        raise PyhpcError(
            f"{plan.records} records went in, but {total['records']} came out",
            f"Call: pyhpc verify --repair {output.path}",
        )
    content = to_json(total)
    try:
        replace(output.final_manifest, content, new_attempt())
    except FileNotFoundError:
        # Another process finished the run just now, and swept this one's file away.
        if not output.final_manifest.exists() or output.final_manifest.read_bytes() != content:
            raise
    for path in strays(output, done):
        path.unlink(missing_ok=True)
    for folder in (output.parts, output.ledger, output.manifests):
        sync_folder(folder)
    return total


def total_manifest(output: Output, plan: Plan, manifests: Iterable[Manifest]) -> Manifest:
    """Make the manifest of the whole run from those of its shards."""
    manifests = list(manifests)
    return {
        "plan": {"name": output.plan.name, "plan": plan.sha256, "sha256": file_digest(output.plan)},
        "records": sum(manifest["records"] for manifest in manifests),
        "rows": sum(manifest["part"]["rows"] for manifest in manifests),
        **add_counts(manifests),
        "shards": [
            {
                "manifest": {
                    "name": output.manifest(manifest["shard"]).name,
                    "sha256": digest(to_json(manifest)),
                },
                "part": manifest["part"],
                "ledger": manifest["ledger"],
            }
            for manifest in manifests
        ],
    }


def add_counts(counts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Add up ``outcomes`` and ``reasons`` of several manifests."""
    outcomes: Counter[str] = Counter()
    reasons: dict[str, Counter[str]] = {str(outcome): Counter() for outcome in Outcome}
    for one in counts:
        outcomes.update(one["outcomes"])
        for outcome, codes in one["reasons"].items():
            reasons[outcome].update(codes)
    return {
        "outcomes": {str(outcome): outcomes[str(outcome)] for outcome in Outcome},
        "reasons": {outcome: dict(codes) for outcome, codes in reasons.items()},
    }


def strays(output: Output, manifests: Iterable[Manifest]) -> list[Path]:
    """Files that no manifest names: what broken attempts have left."""
    known = {output.final_manifest, output.plan}
    for manifest in manifests:
        known.add(output.parts / manifest["part"]["name"])
        known.add(output.ledger / manifest["ledger"]["name"])
        known.add(output.manifest(manifest["shard"]))
    temporaries = output.path.glob(".*.tmp")
    inside = (
        path
        for folder in (output.parts, output.ledger, output.manifests)
        for path in folder.iterdir()
    )
    return sorted(path for path in (*temporaries, *inside) if path not in known)
