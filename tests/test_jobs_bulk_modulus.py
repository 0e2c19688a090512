"""The jobs on bulk moduli, on shipped crystals in the layout of their data."""

import gzip
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from pyhpc.cli import main
from pyhpc.crystals import read
from pyhpc.gallery import crystals_path

pytest.importorskip("xgboost", reason="the extra ml is not installed")

JOBS = Path(__file__).parents[1] / "jobs"


@pytest.fixture(scope="module")
def labels():
    """Names of the shipped crystals, each with a made-up modulus."""
    generator = np.random.default_rng(0)
    names = sorted(path.stem for path in Path(crystals_path()).glob("*.cif"))
    return {name: float(10 ** generator.normal(2, 0.3)) for name in names}


def run(job, folder, out):
    """Plan the study on other files than the published ones; returns what is shown."""
    path = folder / job
    text = (JOBS / job).read_text()
    path.write_text("\n".join(line for line in text.splitlines() if "dataset =" not in line))
    with pytest.raises(SystemExit) as caught:
        main(["run", str(path), "--data", str(folder), "--out", str(out), "--dry-run"])
    assert caught.value.code == 0


def test_the_study_of_bulk_moduli_finds_its_columns(tmp_path, labels, capsys):
    with tarfile.open(tmp_path / "cifs.tar.gz", "w:gz") as tar:
        for name in labels:
            tar.add(Path(crystals_path()) / f"{name}.cif", f"cif/{name}.cif")
    others = ("K_VRH_matcalc2025", "K_VRH_me228", "K_Voigt_trachote")
    lines = [",".join(("mp_id", "K_VRH_matbench2019", *others))]
    lines += [f"{name},{label:.0f},{label:.2f},," for name, label in labels.items()]
    (tmp_path / "kvrh.csv").write_text("\n".join(lines))
    run("bulk_modulus.toml", tmp_path, tmp_path / "out")
    shown = capsys.readouterr().out
    for experiment in ("without_mechanical", "blend", "loss_tail_huber", "calibrated"):
        assert experiment in shown


def test_the_study_of_matbench_reads_its_own_file(tmp_path, capsys):
    structures = read(crystals_path()).to_pymatgen()
    targets = np.random.default_rng(0).normal(2, 0.3, len(structures))
    table = {
        "index": [f"mb-log-kvrh-{k:05d}" for k in range(1, len(structures) + 1)],
        "columns": ["structure", "log10(K_VRH)"],
        "data": [[one.as_dict(), target] for one, target in zip(structures, targets, strict=True)],
    }
    packed = gzip.compress(json.dumps(table).encode())
    (tmp_path / "matbench_log_kvrh.json.gz").write_bytes(packed)
    run("matbench_log_kvrh.toml", tmp_path, tmp_path / "out")
    assert "matbench" in capsys.readouterr().out
