#!/bin/sh
# Installs the newest wheel into an environment of its own and runs it from an empty folder, where
# the source tree can't be imported by mistake.
set -eu
uv=$(realpath "$1")
wheel=$(realpath "$(ls -t "$2"/*.whl | head -n 1)")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"$uv" venv --quiet env
"$uv" pip install --quiet --python env/bin/python "$wheel"
env/bin/python - <<'PYTHON'
from pathlib import Path

import pyhpc
from pyhpc.crystals import read
from pyhpc.gallery import crystals_path

assert Path.cwd() in Path(pyhpc.__file__).parents, pyhpc.__file__
table = pyhpc.featurize(read(crystals_path() / "NaCl.cif"), mobile_ion="Na")
assert table.num_rows == 1, table
print(f"wheel ok: pyhpc {pyhpc.__version__}, {table.num_columns} columns")
PYTHON
env/bin/pyhpc featurize "$(env/bin/python -c 'from pyhpc.gallery import crystals_path; print(crystals_path())')" \
    --out out --workers 1 >/dev/null
env/bin/pyhpc verify out
