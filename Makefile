# make demo       segment the experimental map in tests/data, and build a model of it
# make test       run the tests; WORKERS chooses the number of processes, PYTEST adds options
# make docs       write the pages of the programming interface into docs/api/
# make plugin     pack the PyMOL plugin into dist/, for its Plugin Manager
# make manifest   write the weights into plugin_manifest.json and their checksums, after they changed
# They make the virtual environment .venv first. PYTHON chooses the interpreter, TORCH the build of PyTorch.
PYTHON ?= python3
TORCH ?= torch==2.13.0
WORKERS ?= auto
PYTEST ?=
CRYSTAL := tests/data/1az5
PIP := .venv/bin/python -m pip --disable-pip-version-check

.PHONY: demo test docs manifest plugin
demo: .venv/engine
	.venv/bin/edseg segment $(CRYSTAL)/data.mtz.gz --out runs/demo --overwrite
	.venv/bin/edseg build $(CRYSTAL)/data.mtz.gz --sequence $(CRYSTAL)/sequence.fasta --out runs/demo-model --overwrite

test: .venv/dev
	.venv/bin/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST)

docs: .venv/dev
	.venv/bin/python -m tools.api_pages --out docs/api

plugin:
	$(PYTHON) -m tools.plugin_zip

manifest: .venv/engine
	.venv/bin/python -m tools.update_manifest

.venv/engine: pyproject.toml
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	$(PIP) install '$(TORCH)'
	$(PIP) install --editable '.[build]'
	touch $@

.venv/dev: .venv/engine
	$(PIP) install --editable '.[train,dask,pymol,dev,docs]'
	touch $@
