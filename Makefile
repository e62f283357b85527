# flaggerpy's commands. `make` alone lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# One interpreter: `python` on PATH, or .venv where the system's refuses packages (tools/ci/install.sh decides).
ifneq ($(wildcard .venv/bin/python),)
export PATH := $(CURDIR)/.venv/bin:$(PATH)
endif
PYTHON ?= python
CI := $(PYTHON) -m tools.ci

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: install
install: ## Install the locked dependencies (hashes required) and this checkout, editable
	@tools/ci/install.sh

.PHONY: format
format: ## Format the Python code and mend what ruff can mend
	$(PYTHON) -m ruff check --fix-only --quiet .
	$(PYTHON) -m ruff format .

.PHONY: lint
lint: ## Style, spelling and the rules of the house
	@$(CI) lint

.PHONY: types
types: ## mypy --strict over package, tests and tools
	@$(CI) types

.PHONY: layers
layers: ## Which room may import which (import-linter)
	@$(CI) layers

.PHONY: unit
unit: ## Tests that need no cluster
	@$(CI) unit

.PHONY: check
check: ## What to run before a commit: lint, types, layers, unit
	@$(CI) lint types layers unit

.PHONY: charts
charts: ## helm lint and the tests of the charts
	@$(CI) charts

.PHONY: integration
integration: ## Tests on a real API server, started for them
	@$(CI) integration

.PHONY: crash
crash: ## Die before, after and during every write, which make test does in one of these ways each (control plane with kwok)
	@FLAGGERPY_CRASHES=all $(CI) crash

.PHONY: takeover
takeover: ## Clusters handed over from Flagger
	@$(CI) takeover

.PHONY: e2e
e2e: ## Real node, real proxies, real traffic (root)
	@$(CI) e2e

.PHONY: test-planes
test-planes: ## Istio, Traefik, Contour and more: the same scenes on every data plane, which are built first (root)
	@$(CI) planes

.PHONY: keda
keda: ## The end-to-end test under KEDA's operator, whose first build takes a quarter of an hour and more (root)
	@$(CI) keda

.PHONY: test
test: install ## Everything, as .ci/run runs it; does all set-up
	@$(MAKE) --no-print-directory test-installed

.PHONY: test-installed
test-installed:
	@$(CI)

.PHONY: bench
bench: install ## What 50 and 500 canaries cost, beside the targets (BENCH="--n 50" for less); being slow is no failure
	@$(MAKE) --no-print-directory bench-installed

.PHONY: bench-installed
bench-installed:
	@$(PYTHON) -m tools.bench $(BENCH)

.PHONY: simulate-judgement
simulate-judgement: ## How good the sequential test is beside fixed bounds, in made-up traffic; writes figures and picture into docs
	@$(PYTHON) -m tools.simulate

.PHONY: image
image: ## Write the OCI archives of controller and load tester to dist/
	$(PYTHON) -m tools.image build --output dist

.PHONY: image-test
image-test: ## Build the images twice, compare, and run the amd64 one
	@$(CI) image

.PHONY: crds
crds: ## Generate charts/flaggerpy/crds from the models
	$(PYTHON) -m flaggerpy crds generate charts/flaggerpy/crds

.PHONY: demo
demo: install ## A Kubernetes of its own, a canary under live traffic: good, bad and slow releases (KEEP=1 leaves it running)
	@$(MAKE) --no-print-directory demo-installed

# A make of its own, because `install` may just have made .venv and PATH was settled before.
.PHONY: demo-installed
demo-installed:
	@$(PYTHON) -m tools.demo

.PHONY: clean
clean: ## Remove what builds and tests left in this checkout (the cache outside stays)
	rm -rf dist build .mypy_cache .ruff_cache .import_linter_cache .hypothesis .pytest_cache .bench .demo
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
