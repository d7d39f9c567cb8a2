# `make test` and `make demo` need Python 3.10 or newer and make; everything else goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := runs/demo

.PHONY: test demo bench bench-teacher bench-distill bench-export bench-edge clean

# The stamp is renewed when what is installed changes, so a second call starts at once.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

test: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2

# The whole road; interrupted, it goes on where it was. `reid run demo --until teacher-report` stops half-way.
demo: $(VENV)/installed
	$(BIN)/reid run demo
	@echo 'Look at $(DEMO)/index.html.'

bench: $(VENV)/installed
	$(BIN)/python -m benchmarks.evaluate
	$(BIN)/python -m benchmarks.rerank
	$(BIN)/python -m benchmarks.synthetic
	$(BIN)/python -m benchmarks.derive

bench-teacher: $(VENV)/installed
	$(BIN)/python -m benchmarks.teacher_speed
	$(BIN)/python -m benchmarks.teacher synthetic

bench-distill: $(VENV)/installed
	$(BIN)/python -m benchmarks.distill_speed step
	$(BIN)/python -m benchmarks.distill_speed teacher
	$(BIN)/python -m benchmarks.distill_speed memory
	$(BIN)/python -m benchmarks.distill_spectrum
	$(BIN)/python -m benchmarks.distill synthetic

bench-export: $(VENV)/installed
	$(BIN)/python -m benchmarks.export speed
	$(BIN)/python -m benchmarks.export size

bench-edge: $(VENV)/installed
	$(BIN)/python -m benchmarks.edge
	$(BIN)/python -m benchmarks.edge_gallery

clean:
	rm -rf $(VENV) $(DEMO) build dist
