"""Templates of slurm/ submitted as a user would."""

from __future__ import annotations

import os
import shlex
import sys

from tests.slurm.array_runs import ROOT

SMALL = ("--cpus-per-task=1", "--mem-per-cpu=1500", "--time=10")


def submit(slurm, folder, template, *arguments, options=(), program="-m tests.fake_cli"):
    """Submit a template with a ``pyhpc`` on the path."""
    tools = folder / "bin"
    tools.mkdir(exist_ok=True)
    pyhpc = tools / "pyhpc"
    # Those of the tests, such as where the gate is.
    own = {name: value for name, value in os.environ.items() if name.startswith("PYHPC_TEST_")}
    variables = {"PYTHONPATH": str(ROOT)} | own
    pyhpc.write_text(
        "#!/bin/sh\n"
        + "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
        + f'exec {shlex.quote(sys.executable)} {program} "$@"\n'
    )
    pyhpc.chmod(0o755)
    return slurm.submit(
        *SMALL,
        *options,
        f"--export=ALL,PATH={tools}:{slurm.env['PATH']}",
        ROOT / "slurm" / template,
        *arguments,
        cwd=folder,
    )
