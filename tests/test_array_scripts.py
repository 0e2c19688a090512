"""What an array run submits is a pure function of its job and site: compared with recorded files.

``python -m tests.test_array_scripts`` records them anew.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pyhpc.errors import PyhpcError
from pyhpc.executors import Job, Site
from pyhpc.executors.array import ArrayExecutor, signal_seconds, suggest_tasks
from pyhpc.executors.sbatch import BatchScript, directive
from pyhpc.shards import Guard, Output, Plan
from pyhpc.shards.packed import Shard, ShardTable
from tests.fake_task import FakeTask

RECORDED = Path(__file__).parent / "slurm" / "recorded"
HOSTILE = "/work/a b$(id)\"c'd;e%j\\f`g"

CASES = {
    "modules": ("/work/out", None, Site.load("modules").override(partition="long", account="me")),
    "apptainer": ("/work/out", Path("/data/shards"), Site.load("apptainer").override(gpus=1)),
    "hostile": (HOSTILE, Path(HOSTILE) / "s", Site(python="$HOME/a b/python", walltime="2")),
}


def shards(count, cost=120.0):
    made = (Shard(f"shard-{k}", "0" * 64, 2000, 10**6, cost) for k in range(count))
    return ShardTable.of(made)


def submission(name):
    out, packing, site = CASES[name]
    plan = Plan("featurize", {}, {}, Guard(), shards(5000), "../shards")
    job = Job(Output(Path(out)), plan, FakeTask(), packing)
    return ArrayExecutor(site=site).submission(job)


def texts():
    for name in CASES:
        made = submission(name)
        yield RECORDED / f"{name}-array.sbatch", made.array
        yield RECORDED / f"{name}-finish.sbatch", made.finish


@pytest.mark.parametrize(
    ("path", "text"), list(texts()), ids=lambda value: getattr(value, "stem", "")
)
def test_scripts_are_as_recorded(path, text):
    assert text == path.read_text()


def test_nothing_of_a_path_is_run_or_lost(tmp_path):
    """The shell, given the script, hands the paths to Python as they are."""
    site = Site(python=shutil.which("python3"), prologue=("unset SLURM_JOB_ID",))
    show = ("-c", "import sys; print(*sys.argv[1:], sep='\\n')")
    plan = Plan("featurize", {}, {}, Guard(), shards(10), "../shards")
    job = Job(Output(Path(HOSTILE)), plan, FakeTask(), Path(HOSTILE) / "s")
    made = ArrayExecutor(site=site, program=show).submission(job)
    script = tmp_path / "script"
    script.write_text(made.array)
    command = [shutil.which("bash"), str(script), "1", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.splitlines() == [
        "slurm",
        "task",
        HOSTILE,
        "1",
        "0",
        "--shards",
        HOSTILE + "/s",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["script"]


@pytest.mark.parametrize("value", ["a\nb", "a\n#SBATCH --uid=0", "a\x00b", "\x1b[1m"])
def test_options_can_not_break_out_of_their_line(value):
    with pytest.raises(PyhpcError, match="an option of sbatch stands on one line"):
        directive(f"--output={value}")


def test_script_holds_what_it_was_given():
    script = BatchScript(
        comment=("one", ""),
        directives=("--a=1", "--exclusive"),
        prologue=("module load x",),
        python="python3",
        command=("-m", "x y", "$1", "$3"),
    )
    assert script.render() == (
        "#!/bin/bash\n# one\n#\n#SBATCH --a=1\n#SBATCH --exclusive\n\nset -eo pipefail\n"
        "module load x\nexec python3 -m 'x y' \"$1\" '$3'\n"
    )


@pytest.mark.parametrize(("walltime", "seconds"), [(None, 120), ("1", 15), ("4:00:00", 120)])
def test_signal_comes_in_time(walltime, seconds):
    assert signal_seconds(Site(walltime=walltime)) == seconds


def test_tasks_end_within_half_of_their_time_limit():
    site = Site(cores=8, walltime="4:00:00")
    assert suggest_tasks(shards(1000), site) == 3  # 120,000 s on 8 cores of 7,200 s
    assert suggest_tasks(shards(1000), site, core_seconds=10.0) == 1
    assert suggest_tasks(shards(16, cost=1e6), site) == 2, "a core without a shard is of no use"


if __name__ == "__main__":
    RECORDED.mkdir(exist_ok=True)
    for path, text in texts():
        path.write_text(text)
