# Every target sets up what it needs in .venv: Python 3.11 or later and a C++ compiler are all that must be there.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PIP := PIP_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/pip
NATIVE := $(wildcard native/*.cpp native/*.h native/isa/*.cpp)
NATIVE_TESTS := $(wildcard tests/native/*.cpp tests/native/*.h benchmarks/*.cpp)

.PHONY: demo setup check test test-avx2 wheel test-wheel docs sanitize exhaustive bench bench-step bench-start bench-layers bench-layers-quick bench-forecast bench-lags bench-language bench-reading bench-classify bench-tag bench-transcribe bench-translate faults clean

demo: $(READY)
	$(BIN)/gated demo forecast --out demo

setup: $(READY)

$(READY): pyproject.toml constraints.txt CMakeLists.txt $(NATIVE)
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit(f"make setup: expected Python 3.11 or later, got {v[0]}.{v[1]}. Name another: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install --quiet cmake ninja $$($(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"])')
	$(PIP) install --quiet --no-build-isolation --editable '.[dev]'
	@touch $@

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/clang-format --dry-run --Werror $(NATIVE) $(NATIVE_TESTS)

# A worker a core. By itself pytest stays in one process, which starts sooner where few tests are named.
WORKERS := -n auto --dist worksteal

# Without Python's bytecode on the disk each worker and each process that a test starts would compile all files anew.
test test-avx2: export PYTHONDONTWRITEBYTECODE :=

test: $(READY)
	$(BIN)/python -m pytest $(WORKERS)

# Tests that touch the processor, on one that is lowered to AVX2: in our core, in torch's kernels and in oneDNN.
LOWERED := GATED_ISA=avx2 ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2
PROCESSOR := $(addprefix tests/test_,crf.py cpu.py native.py native_parity.py layers.py layer_laws.py stream.py initialise.py allocator.py noise.py)

# Left out is what takes long and is the same on any processor: graphs, schemas, second derivatives, forks; and the test
# that goes through the instruction sets by itself.
ALIKE := graph or own_checks or gradcheck or second_derivatives or forked or every_instruction_set

test-avx2: $(READY)
	$(LOWERED) $(BIN)/python -m pytest $(WORKERS) $(PROCESSOR) -k "not ($(ALIKE))"

# A wheel in dist/, from what setup compiled; tests/test_wheel.py installs one and fits with it from another folder.
wheel: $(READY)
	$(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

test-wheel: $(READY)
	$(BIN)/python -m pytest tests/test_wheel.py

# The site, in site/: the pages of docs/, the API and the commands. A warning is an error.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build

# The core's tests in C++: as shipped, then watched for memory and undefined behaviour, then for races. The pool of
# threads is our own in all three, for no sanitizer understands OpenMP's.
CMAKE := $(shell command -v cmake || echo $(BIN)/cmake)
PLAIN := -DGATED_NO_OPENMP
MEMORY := -O1 -g1 -fsanitize=address,undefined -fno-sanitize-recover=all $(PLAIN)
RACES := -O1 -g1 -fsanitize=thread $(PLAIN)
core = $(CMAKE) -S . -B build/$(1) -DGATED_TESTS=ON -DCMAKE_BUILD_TYPE=$(2) -DCMAKE_CXX_FLAGS="$(3)" >/dev/null && \
	$(CMAKE) --build build/$(1) --parallel 2 $(4) >/dev/null

$(BIN)/cmake: | $(READY)
	$(PIP) install --quiet cmake

sanitize: | $(CMAKE)
	$(call core,native,Release,$(PLAIN))
	MALLOC_PERTURB_=1 $(CMAKE) -E chdir build/native ctest --output-on-failure
	$(call core,sanitize-memory,None,$(MEMORY))
	$(CMAKE) -E chdir build/sanitize-memory ctest --output-on-failure
	$(call core,sanitize-races,None,$(RACES),--target scan stream threads)
	TSAN_OPTIONS=die_after_fork=0 $(CMAKE) -E chdir build/sanitize-races ctest --output-on-failure -R "scan|stream|threads"

exhaustive: | $(CMAKE)
	$(call core,native,Release,$(PLAIN),--target exhaustive)
	build/native/tests/native/exhaustive

# Benchmarks want a quiet machine. GATED_DATA names the folder of real data.
PEERS := .venv-peers/.ready
LAYER_PEERS := .venv-peers-layers/.ready

bench: bench-start bench-reading bench-step bench-layers bench-lags bench-forecast bench-language bench-classify bench-tag bench-transcribe bench-translate

bench-step: | $(CMAKE)
	$(call core,native,Release,$(PLAIN),--target native_step)
	build/native/tests/native/native_step

bench-start: $(READY)
	$(BIN)/python benchmarks/start.py

bench-layers: $(READY) $(LAYER_PEERS)
	$(BIN)/python benchmarks/layers.py --peers .venv-peers-layers/bin/python --build

bench-layers-quick: $(READY) $(LAYER_PEERS)
	$(BIN)/python benchmarks/layers.py --peers .venv-peers-layers/bin/python --quick

bench-forecast: $(READY) $(PEERS)
	$(BIN)/python benchmarks/forecast.py --peer .venv-peers/bin/python

bench-reading: $(READY)
	$(BIN)/python benchmarks/reading.py --out benchmarks/results/reading.md

bench-lags: $(READY)
	$(BIN)/python benchmarks/lags.py

bench-language: $(READY)
	$(BIN)/python benchmarks/language.py

bench-classify: $(READY)
	$(BIN)/python benchmarks/classify.py

bench-transcribe: $(READY)
	$(BIN)/python benchmarks/transcribe.py

bench-tag: $(READY)
	$(BIN)/python benchmarks/tag.py

bench-translate: $(READY)
	$(BIN)/python benchmarks/translate.py

$(PEERS): benchmarks/peers.txt
	test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install --quiet torch==2.13.0
	.venv-peers/bin/pip install --quiet -r $<
	@touch $@

$(LAYER_PEERS): benchmarks/layers_peers.txt
	test -x .venv-peers-layers/bin/python || $(PYTHON) -m venv .venv-peers-layers
	.venv-peers-layers/bin/pip install --quiet -r $<
	@touch $@

# Damaged and hostile input by the ten thousand, and fits that are killed; GATED_CASES of each kind.
faults: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/faults.py --cases $(or $(GATED_CASES),20000)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/faults_kill.py

clean:
	rm -rf .venv .venv-peers .venv-peers-layers build dist site demo
