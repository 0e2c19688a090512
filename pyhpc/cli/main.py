"""The entry point, and what a user sees when something is wrong."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import traceback
from typing import NoReturn

import click
from rich.console import Console

from pyhpc import __version__
from pyhpc.cli.cancel import cancel_command
from pyhpc.cli.dataset import dataset_command
from pyhpc.cli.demo import demo_command
from pyhpc.cli.diagnose import diagnose_command
from pyhpc.cli.estimate import estimate_command
from pyhpc.cli.features import features_command
from pyhpc.cli.featurize import featurize_command
from pyhpc.cli.interrupts import Interrupted
from pyhpc.cli.logs import logs_command
from pyhpc.cli.replay import replay_command
from pyhpc.cli.run import run_command
from pyhpc.cli.shard import shard_command
from pyhpc.cli.slurm import slurm_group
from pyhpc.cli.status import status_command
from pyhpc.cli.verify import verify_command
from pyhpc.errors import PyhpcError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pyhpc")
def cli() -> None:
    """Crystal structures to physics features, on a laptop or a cluster."""


for _command in (
    shard_command,
    featurize_command,
    features_command,
    status_command,
    logs_command,
    cancel_command,
    verify_command,
    replay_command,
    dataset_command,
    run_command,
    diagnose_command,
    demo_command,
    estimate_command,
    slurm_group,
):
    cli.add_command(_command)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line, and leave with its exit code.

    Exit codes: 0 for success, 1 for an error that the message says how to mend, 2 for a wrong
    command line, 3 for a bug of pyhpc, 128 + n after signal n.
    """
    sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    # What executors have to say meanwhile: refused jobs, the address of a dashboard.
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("pyhpc")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    try:
        code = cli.main(args=arguments, prog_name="pyhpc", standalone_mode=False)
        # Flushed here, so that a closed pipe shows here and not as the interpreter leaves.
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except PyhpcError as error:
        errors.print("Error:", style="bold red", end=" ")
        errors.print(error.message, markup=False)
        errors.print(error.remedy, markup=False)
        return 1
    except Interrupted as interrupted:
        errors.print(str(interrupted), markup=False)
        return 128 + interrupted.signal
    except (KeyboardInterrupt, click.Abort):
        return 130
    except BrokenPipeError:
        # Whoever read the output has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception:
        with tempfile.NamedTemporaryFile(
            "w", prefix="pyhpc-bug-", suffix=".txt", delete=False
        ) as file:
            file.write(f"pyhpc {__version__}: {' '.join(sys.argv)}\n\n{traceback.format_exc()}")
        last = traceback.format_exc(chain=False).strip().splitlines()[-1]
        errors.print("This is a bug in pyhpc, please report it:", style="bold red", end=" ")
        errors.print(last, markup=False)
        errors.print(f"The full story is in {file.name}", markup=False)
        return 3
    return code if isinstance(code, int) else 0
