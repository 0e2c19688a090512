"""How much memory there is for this process and those that it starts."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def memory_limit(root: Path = Path("/")) -> int:
    """Give the machine's memory, or what control groups leave of it, in bytes.

    Parameters
    ----------
    root : Path
        Where ``proc`` and ``sys`` are.
    """
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE")
    return min([physical, *_group_limits(root)])


def _group_limits(root: Path) -> Iterator[int]:
    """Give the limits of the groups of this process: its own, and those that it is in."""
    with contextlib.suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            if not controllers:
                # Version 2: one tree for all controllers.
                top, name = root / "sys/fs/cgroup", "memory.max"
            elif "memory" in controllers.split(","):
                top, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
            else:
                continue
            folder = top / group.lstrip("/")
            for place in (folder, *folder.parents):
                # Where there is no limit, there is no file, or a word.
                with contextlib.suppress(OSError, ValueError):
                    yield int((place / name).read_text())
                if place == top:
                    break


def resident_bytes(pid: int) -> int:
    """Memory that a process has; none where it is gone."""
    try:
        # As little as can be: it is asked for twice a second of each worker.
        with Path(f"/proc/{pid}/statm").open("rb", buffering=0) as file:
            pages = int(file.read().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGESIZE")
