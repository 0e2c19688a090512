"""The command line with a fake reader and a fake task, as a program: ``python -m tests.fake_cli``.

Sources are files with a record per line: its id, a tab, its text.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pyhpc import cli, crystals, tasks
from tests.fake_task import record


@dataclass(frozen=True)
class FakeLimits:
    max_text_bytes: int = 100


def read_lines(sources, limits, **columns):
    for source in sources:
        for line in Path(source).read_text().splitlines():
            name, _, text = line.partition("\t")
            yield record(name, text[: limits.max_text_bytes], source=source)


FAKES = [
    (crystals, "Limits", FakeLimits),
    (crystals, "iter_records", read_lines),
    (tasks, "TASKS", {"featurize": "tests.fake_task:FakeTask"}),
]


def write_source(path, records):
    path.write_text("".join(f"{one.id}\t{one.text.decode()}\n" for one in records))
    return path


if __name__ == "__main__":
    for module, name, fake in FAKES:
        setattr(module, name, fake)
    cli.main()
