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
    manifests = (read_manifest(output, plan, index) for index in range(len(plan.shards)))
    total = total_manifest(output, plan, filter(None, manifests))
    missing = len(plan.shards) - len(total["shards"])
    if missing:
        raise PyhpcError(
            f"{missing} of {len(plan.shards)} shards are not done",
            "Call pyhpc featurize again: it goes on where it stopped.",
        )
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
    for path in strays(output, total):
        path.unlink(missing_ok=True)
    for folder in (output.parts, output.ledger, output.manifests):
        sync_folder(folder)
    return total


def total_manifest(output: Output, plan: Plan, manifests: Iterable[Manifest]) -> Manifest:
    """Make the manifest of the whole run from those of its shards, each looked at once."""
    records = rows = 0
    counts = Counts()
    shards: list[dict[str, Any]] = []
    for manifest in manifests:
        records += manifest["records"]
        rows += manifest["part"]["rows"]
        counts.add(manifest["outcomes"], manifest["reasons"])
        shards.append(
            {
                "manifest": {
                    "name": output.manifest(manifest["shard"]).name,
                    "sha256": digest(to_json(manifest)),
                },
                "part": manifest["part"],
                "ledger": manifest["ledger"],
            }
        )
    return {
        "plan": {"name": output.plan.name, "plan": plan.sha256, "sha256": file_digest(output.plan)},
        "records": records,
        "rows": rows,
        **counts.to_json(),
        "shards": shards,
    }


class Counts:
    """Records by outcome and by reason, added up over shards."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self._reasons: dict[str, Counter[str]] = {str(outcome): Counter() for outcome in Outcome}

    def add(self, outcomes: Mapping[str, int], reasons: Mapping[str, Mapping[str, int]]) -> None:
        """Add those of a shard, as its manifest has them."""
        self.outcomes.update(outcomes)
        for outcome, codes in reasons.items():
            self._reasons[outcome].update(codes)

    @property
    def reasons(self) -> dict[str, dict[str, int]]:
        """Records by outcome and code of a reason."""
        return {outcome: dict(codes) for outcome, codes in self._reasons.items()}

    def to_json(self) -> dict[str, Any]:
        """Entries ``outcomes`` and ``reasons`` of a manifest."""
        outcomes = {str(outcome): self.outcomes[str(outcome)] for outcome in Outcome}
        return {"outcomes": outcomes, "reasons": self.reasons}


def strays(output: Output, total: Manifest) -> list[Path]:
    """Files that the manifest of the run does not name: what broken attempts have left."""
    known = {output.final_manifest, output.plan}
    for shard in total["shards"]:
        known.add(output.parts / shard["part"]["name"])
        known.add(output.ledger / shard["ledger"]["name"])
        known.add(output.manifests / shard["manifest"]["name"])
    temporaries = output.path.glob(".*.tmp")
    inside = (
        path
        for folder in (output.parts, output.ledger, output.manifests)
        for path in folder.iterdir()
    )
    return sorted(path for path in (*temporaries, *inside) if path not in known)
