"""Site profiles: what they say is checked, and ends in job scripts as it was meant."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from pyhpc.errors import PyhpcError
from pyhpc.executors import Site
from pyhpc.executors.site import SHIPPED, expand_later, parse_bytes, walltime_seconds


def profile(folder, text):
    path = folder / "here.toml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_profiles_are_valid(path):
    assert Site.load(path.stem).walltime


def test_example_names_every_key(tmp_path):
    lines = (SHIPPED / "example.toml").read_text().splitlines()
    keys = [line.removeprefix("# ") for line in lines if " = " in line]
    site = Site.load(profile(tmp_path, "\n".join(keys)))
    empty = Site()
    assert [name for name, value in vars(empty).items() if getattr(site, name) == value] == []


def test_users_own_profile_goes_before_a_shipped_one(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    folder = tmp_path / "pyhpc" / "sites"
    folder.mkdir(parents=True)
    (folder / "modules.toml").write_text('partition = "mine"\nmemory = "1.5GiB"\n')
    assert Site.load("modules") == Site(partition="mine", memory=3 * 2**29)
    assert Site.load(None) == Site()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('partitions = "x"', "unknown key 'partitions'.*Valid ones are partition, account"),
        ('cores = "8"', "here.toml: cores must be a whole number"),
        ("cores = true", "cores must be a whole number"),
        ("cores = 0", "cores of the site can't be 0: it must be positive"),
        ("modules = 'a'", "modules must be a list of strings"),
        ('memory = "lots"', "memory must be a number of bytes"),
        ("account = 7", "account must be a string"),
        ('partition = "a; rm -rf /"', "it is no plain word"),
        ('partition = "-x"', "it is no plain word"),
        ('account = "a\\n#SBATCH --uid=0"', "it is no plain word"),
        ('qos = "$(id)"', "it is no plain word"),
        ('modules = ["a", "b c"]', "it is no plain word"),
        ('interface = "ib0 --x"', "it is no plain word"),
        ('venv = "a\\nb"', "one line"),
        ('prologue = ["a\\nb"]', "one line"),
        ('directives = ["--a=b\\nid"]', "on one line"),
        ('directives = ["id"]', "--name or --name=value"),
        ('directives = ["--export=ALL"]', "--export is set by pyhpc"),
        ('walltime = "soon"', "30, 4:00:00 or 1-12:00:00"),
        ('walltime = "0:30"', "shortest is a minute"),
        ('environment = ["A=b"]', "no name of a variable"),
        ("gpus = -1", "negative"),
        ("= 3", "can't be read"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, text, match):
    with pytest.raises(PyhpcError, match=match):
        Site.load(profile(tmp_path, text))


def test_options_given_on_the_command_line_are_checked_as_well():
    with pytest.raises(PyhpcError, match="partition of the site can't be 'a b'"):
        Site().override(partition="a b")


def test_unknown_profile_says_which_there_are(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with pytest.raises(PyhpcError, match=r"'frontera'.*apptainer, example, modules"):
        Site.load("frontera")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 1800),
        ("1:30", 90),
        ("4:00:00", 14400),
        ("1-12", 129600),
        ("1-12:30", 131400),
        ("2-0:0:1", 172801),
    ],
)
def test_walltime_in_all_formats_of_slurm(text, seconds):
    assert walltime_seconds(text) == seconds


def test_bytes():
    assert [parse_bytes(text) for text in ("16G", "1.5 MiB", "100b", "7")] == [
        *(16 * 2**30, 3 * 2**19, 100, 7)
    ]
    assert [parse_bytes(text) for text in ("", "-1", "0", "1X", "nan", "G")] == [None] * 6


HOSTILE = "a b'c\"d;e`id`f$(id)g\\h&i*j"


def test_paths_reach_the_shell_as_they_are(tmp_path):
    script = f"printf %s {expand_later(HOSTILE + '/$X/${X}/')}"
    shell = [shutil.which("bash"), "-c", script]
    done = subprocess.run(shell, env={"X": "a  $(id)"}, capture_output=True, text=True, check=True)
    assert done.stdout == f"{HOSTILE}/a  $(id)/a  $(id)/"


def test_image_sees_the_folders_of_the_run(tmp_path):
    site = Site(image="/my images/a.sif", gpus=1)
    assert site.python_command([tmp_path]) == (
        f"apptainer exec --nv --bind {tmp_path} '/my images/a.sif' python"
    )
    with pytest.raises(PyhpcError, match="can't be bound"):
        site.python_command([tmp_path / "a:b"])


def test_few_variables_travel(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "7")
    monkeypatch.setenv("http_proxy", "here")
    monkeypatch.setenv("PYHPC_SIMD", "scalar")
    exported = Site(environment=("http_proxy", "not_set")).exported()
    assert exported["http_proxy"] == "here"
    assert exported["PYHPC_SIMD"] == "scalar"
    assert {"AWS_SECRET_ACCESS_KEY", "SLURM_ARRAY_TASK_ID", "not_set"}.isdisjoint(exported)
