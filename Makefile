# `make test` and `make demo` need Python 3.10 or newer and make; everything else goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := runs/demo

.PHONY: test demo demo-teacher demo-student bench bench-teacher bench-distill clean

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

demo: $(VENV)/installed
	rm -rf $(DEMO)
	$(BIN)/reid data synth $(DEMO)/people --people 60 --cameras 4 --seed 0
	$(BIN)/reid data check $(DEMO)/people
	$(BIN)/reid data show $(DEMO)/people --out $(DEMO)/contact-sheet.png
	$(BIN)/reid data show $(DEMO)/people --alike --columns 8 --out $(DEMO)/lookalikes.png
	$(BIN)/reid baseline $(DEMO)/people --kind random --out $(DEMO)/random
	$(BIN)/reid evaluate $(DEMO)/random --all --save $(DEMO)/random.json
	$(BIN)/reid baseline $(DEMO)/people --kind colour --out $(DEMO)/colour
	$(BIN)/reid evaluate $(DEMO)/colour --protocol rgb-to-rgb --protocol ir-to-rgb --rank-lists $(DEMO)/rank-lists.png
	$(BIN)/reid info $(DEMO)/colour
	@echo 'Look at $(DEMO)/contact-sheet.png, lookalikes.png and rank-lists.png.'

demo-teacher: $(VENV)/installed
	rm -rf $(DEMO)/teacher
	$(BIN)/reid data synth $(DEMO)/teacher/train --people 1000 --cameras 4 --per-camera 1 --seed 0 --workers 2
	$(BIN)/reid data synth $(DEMO)/teacher/people --people 60 --cameras 4 --seed 1 --workers 2
	$(BIN)/teacher init --out $(DEMO)/teacher/base
	$(BIN)/teacher train $(DEMO)/teacher/train --base $(DEMO)/teacher/base --recipe mllmembed-tiny --set training.max_steps=600 --set training.evaluate_every=300 --out $(DEMO)/teacher/teacher
	$(BIN)/teacher doctor $(DEMO)/teacher/teacher
	$(BIN)/teacher eval --base $(DEMO)/teacher/base --recipe mllmembed-tiny --data $(DEMO)/teacher/people --out $(DEMO)/teacher/before
	$(BIN)/teacher eval $(DEMO)/teacher/teacher --data $(DEMO)/teacher/people --out $(DEMO)/teacher/after
	@echo 'Look at $(DEMO)/teacher/after: rank lists and map.png; compare before/report.txt with after/report.txt.'

demo-student: demo-teacher
	$(BIN)/distill run --teacher $(DEMO)/teacher/teacher --data $(DEMO)/teacher/train --student vit-micro --set image.height=128 --set image.width=64 --set training.max_steps=600 --set training.evaluate_every=200 --out $(DEMO)/teacher/student
	@echo 'Look at $(DEMO)/teacher/student/report.html.'

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

clean:
	rm -rf $(VENV) $(DEMO) build dist
