"""Keys of one run: who has none of them reaches neither its scheduler nor its workers."""

from __future__ import annotations

import contextlib
import shutil
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from distributed import Security

from pyhpc.errors import PyhpcError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Credentials:
    """A certificate that only the processes of one run have.

    Attributes
    ----------
    security : Security
        For the scheduler and the client.
    arguments : dict of str to Path
        The same for workers, as options of their command line.
    """

    security: Security
    arguments: dict[str, Path]


@contextlib.contextmanager
def temporary_credentials(folder: Path) -> Iterator[Credentials]:
    """Make a certificate, keep it in a folder that is for its owner alone, and remove it.

    Parameters
    ----------
    folder : Path
        Folder to make; the nodes must see it.

    Raises
    ------
    PyhpcError
        If the file system lets others into the folder.
    """
    folder.mkdir(mode=0o700)
    try:
        if stat.S_IMODE(folder.stat().st_mode) & 0o077:
            raise PyhpcError(
                f"others may read {folder}, which is to hold the keys of the run",
                "Choose an --out on a file system that keeps permissions.",
            )
        security = Security.temporary()
        parts = {
            "--tls-ca-file": security.tls_ca_file,
            "--tls-cert": security.tls_worker_cert,
            "--tls-key": security.tls_worker_key,
        }
        arguments = {}
        for option, text in parts.items():
            path = folder / f"{option.removeprefix('--tls-')}.pem"
            path.touch(mode=0o600)
            path.write_text(text)
            arguments[option] = path
        yield Credentials(security, arguments)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
