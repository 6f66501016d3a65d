# Everything a fresh machine needs is Python 3.11 (or newer) and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test check lint docs notebooks clean

demo: $(STAMP)
	$(BIN)/octodon demo --out demo-run

# Whole files to a worker per core (four at most, each holds torch), in the order of the folders: the longest come first.
# Without workers: python -m pytest.
test: $(STAMP)
	$(BIN)/python -m pytest -q -n auto --dist loadfile --no-loadscope-reorder

lint: check

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

docs: $(STAMP)
	$(BIN)/mkdocs build --strict

# Runs the notebooks in place, at the size that readers see (the tests run them in a smaller one).
# promoters.ipynb reads a table from the folder OCTODON_DATA; without it, it is left as it is.
NOTEBOOKS := docs/notebooks/simulated_tour.ipynb docs/notebooks/variants.ipynb $(if $(OCTODON_DATA),docs/notebooks/promoters.ipynb)
notebooks: $(STAMP)
	$(if $(OCTODON_DATA),OCTODON_DATA="$(abspath $(OCTODON_DATA))") $(BIN)/jupyter nbconvert --to notebook --execute --inplace $(NOTEBOOKS)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("octodon needs Python 3.11 or newer, got " + sys.version.split()[0] + "; call: make PYTHON=python3.11 ...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)

clean:
	rm -rf $(VENV) demo-run site
