"""Featurization as a task over records."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

import pyhpc
from pyhpc import tables
from pyhpc.errors import PyhpcError
from pyhpc.features import Settings, schema, unexplained
from pyhpc.records import Outcome, Record, worst
from pyhpc.tasks import make_task
from pyhpc.tasks.featurize import FeaturizeTask

ROCK_SALT = """data_{name}
_cell_length_a {a}
_cell_length_b {a}
_cell_length_c {a}
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'F m -3 m'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
M1 {cation} 0 0 0 {occupancy}
X1 {anion} 0.5 0.5 0.5 1
"""


def record(name, text):
    data = text.encode()
    return Record(name, data, "cif", f"{name}.cif", 0, len(data))


def rock_salt(name, cation, anion, a, *, occupancy=1):
    values = {"name": name, "cation": cation, "anion": anion, "a": a, "occupancy": occupancy}
    return record(name, ROCK_SALT.format(**values))


@pytest.fixture(scope="module")
def records():
    return [
        rock_salt("lif", "Li", "F", 4.0262),
        record("broken", "this is no CIF"),
        rock_salt("nacl", "Na", "Cl", 5.6402),
        rock_salt("partial", "Li", "Cl", 5.13, occupancy=0.5),
    ]


def test_rows_and_reasons_are_told_by_the_position_of_the_record(records):
    result = FeaturizeTask().run(records)
    assert list(result.positions) == [0, 2, 3]
    assert result.table["id"].to_pylist() == ["lif", "nacl", "partial"]
    assert worst(result.reasons[1]) is Outcome.QUARANTINED
    assert {"no_mobile_ion"} <= {reason.code for reason in result.reasons[2]}
    assert result.table.schema.equals(schema(), check_metadata=True)
    by_id = {records[k].id: reasons for k, reasons in result.reasons.items()}
    assert unexplained(result.table, by_id) == []
    assert result.seconds["parse"] > 0
    assert {"valences", "bond_valence", "ewald", "voronoi", "symmetry"} <= set(result.seconds)


def test_a_record_does_not_depend_on_the_others(records):
    together = FeaturizeTask().run(records, threads=2)
    for k, part in enumerate(records):
        alone = FeaturizeTask().run([part])
        assert alone.reasons.get(0, []) == together.reasons.get(k, [])
        if alone.table.num_rows:
            row = list(together.positions).index(k)
            for name, value in alone.table.to_pylist()[0].items():
                np.testing.assert_equal(together.table[name][row].as_py(), value)


def test_records_that_are_all_bad_give_an_empty_table(records):
    result = FeaturizeTask().run([records[1]])
    assert result.table.num_rows == 0
    assert result.table.schema.equals(schema(), check_metadata=True)


def test_parameters_make_the_task_again():
    parameters = {
        "groups": ["lattice", "composition"],
        "mobile_ion": "Na",
        "symprec": 0.05,
        "limits": {"max_sites": 500},
    }
    task = make_task("featurize", parameters)
    assert task.settings == Settings(
        groups=["composition", "lattice"], mobile_ion="Na", symprec=0.05
    )
    assert task.limits.max_sites == 500
    assert task.schema.equals(schema(["composition", "lattice"], "Na"), check_metadata=True)
    # What goes through a plan file comes back the same.
    again = make_task(task.name, json.loads(json.dumps(task.parameters)))
    assert again == task
    assert pickle.loads(pickle.dumps(task)) == task
    assert make_task("featurize", {}) == FeaturizeTask()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"group": ["lattice"]}, "unknown parameter 'group'.*Valid ones are groups, mobile_ion"),
        ({"limits": {"sites": 5}}, "unknown limit 'sites'.*max_sites"),
        ({"groups": ["magic"]}, "'magic'.*valid groups are composition"),
        ({"mobile_ion": "Xx"}, "Xx"),
        ({"accuracy": 2}, "accuracy"),
        ({"symprec": "small"}, "symprec"),
        ({"limits": {"max_sites": 0}}, "max_sites"),
        ({"limits": [1]}, "limits"),
    ],
)
def test_bad_parameters_are_refused_with_what_is_valid(parameters, message):
    with pytest.raises(PyhpcError, match=f"(?s){message}"):
        FeaturizeTask.from_parameters(parameters)


def test_versions_name_the_code_and_the_tables():
    versions = FeaturizeTask().versions
    assert versions["pyhpc"] == pyhpc.__version__
    assert versions["table elements"] == tables.hashes()["elements"]
    assert all(isinstance(text, str) for text in versions.values())


def test_the_limits_reach_the_reader(records):
    task = FeaturizeTask.from_parameters({"limits": {"max_sites": 4}})
    result = task.run([records[0]])
    assert result.table.num_rows == 0
    assert "too_many_sites" in [reason.code for reason in result.reasons[0]]


def test_workers_do_not_import_pandas(tmp_path):
    """pyarrow does, wherever it is installed, at any conversion that might be from or to it."""
    path = tmp_path / "lif.cif"
    path.write_bytes(rock_salt("lif", "Li", "F", 4.0262).text)
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from pyhpc.crystals import iter_records\n"
        "from pyhpc.shards import Guard, Output, Plan, Trial, pack, run_shards\n"
        "from pyhpc.tasks.featurize import FeaturizeTask\n"
        "if sys.argv[2] == 'pack':\n"
        "    root, task = Path(sys.argv[1]), FeaturizeTask()\n"
        "    packing = pack(iter_records([root]), root / 's', inputs={}, cost=lambda record: 1.0)\n"
        "    Plan.make(Output(root / 'o'), packing, task, Guard()).create(Output(root / 'o'))\n"
        "else:\n"
        "    output = Output(Path(sys.argv[1]) / 'o')\n"
        "    (done,) = run_shards(output, Plan.load(output), [Trial(0, 'a')], FeaturizeTask())\n"
        "    assert done.outcomes['ok'] == 1, done\n"
        "    sys.exit('pandas' in sys.modules)\n"
    )
    for step in ("pack", "run"):
        subprocess.run([sys.executable, "-c", program, str(tmp_path), step], check=True)
