"""Tiny studies for tests: a table of numbers, or the shipped crystals."""

import json
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
GALLERY = ROOT / "pyhpc" / "gallery"
"""Folder of the shipped crystals."""

JOB = """
[study]
name = "tiny"
title = "A tiny study"
groups = "papers"

[data]
folders = ["data"]
train = "train.csv"
test = "test.csv"
id = "name"
numbers = ["x", "z", "has_z"]
composition = "formula"

[target]
column = "y"
transform = "log10"
label = "log10 y"
leak = "knows_bounds"

[features]
plain = ["x", "li_fraction"]
all = ["@plain", "z"]

[splits.random]
kind = "random"
folds = 4
seeds = [1, 2]

[splits.papers]
kind = "grouped"
columns = ["doi"]
separators = { doi = "|" }
folds = 3
seeds = [5]

[sections]
old = "As published"
new = "As it should be"

[models.trees]
kind = "xgboost"
features = ["@plain"]
n_trees = 8
max_depth = 2

[[experiments]]
name = "published"
section = "old"
model = { like = "trees", features = ["@plain", "knows_bounds"], fill = 0.0 }
splits = ["random"]
published = { r2 = 0.5, rmse = 1.0, mae = 0.8 }
coerced = true
leak_audit = true

[[experiments]]
name = "mean"
section = "new"
model = { kind = "mean" }
splits = ["random", "papers"]

[[experiments]]
name = "trees"
section = "new"
model = "trees"
splits = ["random", "papers"]
importance = true

[[experiments]]
name = "gated"
section = "new"
splits = ["random", "papers"]
[experiments.model]
kind = "gated"
baseline = "trees"
specialist = { like = "trees", features = ["@all"] }
indicators = ["has_z"]

[[experiments]]
name = "bagged"
section = "new"
splits = ["random", "papers"]
[experiments.model]
kind = "bagged"
model = { like = "trees", features = ["@all"] }
n = 3

[[comparisons]]
name = "trees"
better = "trees"
worse = "mean"

[[comparisons]]
name = "gate over trees"
better = "gated"
worse = "trees"

[[comparisons]]
name = "gate over its baseline"
better = "gated"
worse = "gated.baseline"
"""


def write_study(root, *, n_train=48, n_test=12, text=JOB):
    """Write the data and the job file of a tiny study; returns the path of the file."""
    generator = np.random.default_rng(7)
    folder = root / "data"
    folder.mkdir(parents=True, exist_ok=True)
    formulas = ["LiCl", "Li2O", "Li3PS4", "Li7La3Zr2O12", "LiFePO4"]
    start = 0
    for name, count in (("train.csv", n_train), ("test.csv", n_test)):
        lines = ["name,formula,doi,x,z,has_z,y"]
        for k in range(start, start + count):
            x, z = generator.normal(size=2)
            value = 10 ** (x + z + 0.1 * generator.normal())
            y = f"<{value:.4g}" if k % 8 == 3 else f"{value:.6g}"
            has = int(k % 3 != 0)
            doi = f"10.1/{k // 3}" + ("|10.1/0" if k == 9 else "")
            shown = f"{z:.5f}" if has else ""
            lines.append(f"n{k},{formulas[k % 5]},{doi},{x:.5f},{shown},{has},{y}")
        start += count
        (folder / name).write_text("\n".join(lines) + "\n")
    path = root / "job.toml"
    path.write_text(text)
    return path


def write_gated_demo(root):
    """Write the shipped demo, cut down to one experiment that needs structures."""
    text = (ROOT / "jobs" / "demo.toml").read_text()
    head, *experiments = text.split("[[experiments]]")
    gated = next(one for one in experiments if 'name = "gated"' in one).split("[[comparisons]]")[0]
    path = root / "job.toml"
    path.write_text(head.replace("seeds = [0, 1]", "seeds = [0]") + "[[experiments]]" + gated)
    return path


def results_tree(folder):
    """Bytes of all results, by name, without what may differ between runs."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "run.log" and "work" not in path.parts
    }


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())
