# Every target sets up what it needs in .venv: Python 3.11 or later and a C++ compiler are all that must be there.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PIP := PIP_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/pip
NATIVE := $(wildcard native/*.cpp native/*.h native/isa/*.cpp)

.PHONY: demo setup check test bench bench-start bench-layers bench-layers-quick bench-forecast clean

demo: $(READY)
	$(BIN)/gated demo forecast --out demo

setup: $(READY)

$(READY): pyproject.toml constraints.txt CMakeLists.txt $(NATIVE)
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit(f"make setup: expected Python 3.11 or later, got {v[0]}.{v[1]}. Name another: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install --quiet --editable '.[dev]'
	@touch $@

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/clang-format --dry-run --Werror $(NATIVE)

test: $(READY)
	$(BIN)/python -m pytest

# Benchmarks want a quiet machine. GATED_DATA names the folder of real data.
PEERS := .venv-peers/.ready
LAYER_PEERS := .venv-peers-layers/.ready

bench: bench-start bench-layers bench-forecast

bench-start: $(READY)
	$(BIN)/python benchmarks/start.py

bench-layers: $(READY) $(LAYER_PEERS)
	$(BIN)/python benchmarks/layers.py --peers .venv-peers-layers/bin/python --build

bench-layers-quick: $(READY) $(LAYER_PEERS)
	$(BIN)/python benchmarks/layers.py --peers .venv-peers-layers/bin/python --quick

bench-forecast: $(READY) $(PEERS)
	$(BIN)/python benchmarks/forecast.py --peer .venv-peers/bin/python

$(PEERS): benchmarks/peers.txt
	test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install --quiet torch==2.13.0
	.venv-peers/bin/pip install --quiet -r $<
	@touch $@

$(LAYER_PEERS): benchmarks/layers_peers.txt
	test -x .venv-peers-layers/bin/python || $(PYTHON) -m venv .venv-peers-layers
	.venv-peers-layers/bin/pip install --quiet -r $<
	@touch $@

clean:
	rm -rf .venv .venv-peers .venv-peers-layers build dist demo
