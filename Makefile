# Everything from a plain clone: `make demo`, `make test`. Needs Python >= 3.11, a Rust toolchain,
# gcc and make; the rest goes into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=$(VENV) $(BIN)/uv
# Installs the locked dependencies of a group and builds the kernels (again if they changed).
SYNC = $(UV) sync --quiet --locked --inexact --no-default-groups --python $(BIN)/python
DEMO_OUTPUT := demo_output

.PHONY: demo test lint bench wheel format clean

$(BIN)/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.9,<1"

demo: $(BIN)/uv
	$(SYNC) --group demo
	$(BIN)/pyhpc demo --out $(DEMO_OUTPUT)

test: $(BIN)/uv
	$(SYNC) --group test
	cargo test --quiet --locked -p pyhpc-core
	cargo test --quiet --locked -p pyhpc-core --bench kernels --bench peak
	$(BIN)/python -m pytest -n auto --dist worksteal

lint: $(BIN)/uv
	$(SYNC) --group lint
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest pyhpc._kernels --mypy-config-file pyproject.toml

bench: $(BIN)/uv
	$(SYNC) --group bench
	$(BIN)/python -m benchmarks

# A portable wheel, and a smoke test of it away from the source tree.
wheel: $(BIN)/uv
	$(UV) build --quiet --wheel --out-dir dist --python $(BIN)/python
	sh tests/wheel_smoke.sh "$(BIN)/uv" dist

format: $(BIN)/uv
	$(SYNC) --group lint
	cargo fmt --all
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) target dist $(DEMO_OUTPUT) .pytest_cache .mypy_cache .ruff_cache .hypothesis
