# The whole of hilnas for people who type `make`. Variables: BOARD, MODEL, TARGET, PROBE, FLASHER, RUN.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= python3
BOARD ?= nucleo-h743zi2
TARGET ?= emulator
RUN ?= runs/demo
SELECTED = $(if $(PROBE),--probe $(PROBE)) $(if $(FLASHER),--flasher $(FLASHER))

VENV := .venv
HILNAS := $(VENV)/bin/hilnas
PACKAGES := boards cli experiments export firmware hil nas tflite
NATIVE := $(shell find hil firmware -name '*.c' -o -name '*.h')

# Real data for the tests that use it; see the README for where users get their own.
ifneq ($(wildcard ../shared/data),)
export HILNAS_DATA ?= $(abspath ../shared/data)
endif

.PHONY: help setup demo test acceptance lint format firmware flash measure recalibrate clean

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.installed ## installs what is missing: Debian packages, the virtual environment

$(VENV)/.installed: pyproject.toml $(wildcard setup.py) $(wildcard hil/emulator/*.[ch] hil/emulator/timing/*.[ch] hil/targets/*.c)
	@./setup.sh $(PYTHON) $(VENV)
	@touch $@

demo: setup ## the closed loop on scikit-learn's digits, on the emulator: report in runs/demo
	@if [ -e $(RUN)/run.json ]; then $(HILNAS) loop --resume $(RUN); else $(HILNAS) loop --board $(BOARD) --out $(RUN); fi

test: setup ## the tests, as CI runs them
	@$(VENV)/bin/python -m pytest -m "not acceptance"

acceptance: setup ## the long campaigns, whole
	@$(VENV)/bin/python -m pytest -m acceptance

lint: setup ## ruff, mypy and clang-format
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@mkdir -p build/lint/hilnas
	@for module in hilnas/*.py; do ln -sfn ../../../$$module build/lint/hilnas/; done
	@for package in $(PACKAGES); do ln -sfn ../../../$$package build/lint/hilnas/$$package; done
	@cd build/lint && ../../$(VENV)/bin/mypy --config-file ../../pyproject.toml -p hilnas
	@$(VENV)/bin/clang-format --dry-run -Werror $$(git ls-files '*.c' '*.h')

format: setup ## formats Python and C
	@$(VENV)/bin/ruff check --fix -q .; $(VENV)/bin/ruff format -q .
	@$(VENV)/bin/clang-format -i $$(git ls-files '*.c' '*.h')

firmware: setup ## builds MODEL for BOARD
	@$(HILNAS) build $(MODEL) --board $(BOARD) --out build/$(BOARD)

flash: firmware ## builds MODEL and writes it to the attached BOARD (of several: PROBE=serial number)
	@$(HILNAS) flash build/$(BOARD) $(SELECTED)

measure: firmware ## builds MODEL and measures it on TARGET: emulator, or serial for the attached BOARD
	@$(HILNAS) measure build/$(BOARD) --target $(TARGET) --model $(MODEL) --per-layer $(SELECTED)

recalibrate: setup ## feeds the measurements of RUN into its predictors
	@$(HILNAS) recalibrate $(RUN)

clean: ## removes what was built, not the virtual environment and not the runs
	@rm -rf build .pytest_cache .ruff_cache .mypy_cache .hypothesis
