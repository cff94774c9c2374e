# Everything installs into .venv; nothing global. `make setup` prepares it, the other words use it.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.ready
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup run test check bench fault fuzz atheris docs clean

help:            ## show these words
	@grep -E '^[a-z]+: .*##|^[a-z]+:  *##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

setup: $(STAMP)  ## prepare .venv with all that running and testing need

$(STAMP): pyproject.toml scripts/setup
	PYTHON=$(PYTHON) scripts/setup

run: setup       ## bring two models across, end to end, and show the result
	$(BIN)/python -m examples.crossing

test: setup      ## run the whole suite
	$(BIN)/python -m pytest -n 3 --dist loadgroup -q  # of two processors: tests wait a quarter of their time

check: setup     ## ruff, mypy, import-linter, generated docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	if [ -f docs/generate.py ]; then $(BIN)/python docs/generate.py --check; fi

bench: setup     ## compare with the named peers; see benchmarks/README.md
	$(BIN)/python -m benchmarks

fault: setup     ## only the fault injection
	$(BIN)/python -m pytest -q -m fault

fuzz: setup      ## property tests with many more examples
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest -q --timeout=0 tests/test_safetensors.py tests/test_names.py tests/test_manifest.py tests/test_transfer_parts.py

atheris: setup   ## coverage-guided fuzzing of one parser: make atheris TARGET=gguf SECONDS=600
	$(BIN)/python -m pip install --quiet atheris
	$(BIN)/python -m tests.fuzz $(TARGET) -max_total_time=$(or $(SECONDS),600)

docs: setup      ## write the generated reference pages
	$(BIN)/python docs/generate.py

clean:           ## remove .venv and what runs left
	rm -rf .venv .run .mypy_cache .ruff_cache .pytest_cache .hypothesis
