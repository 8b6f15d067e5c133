# The commands of a developer's day; `make` alone lists them.

VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
REQUIREMENTS := setup.cfg $(wildcard pyproject.toml plugins/*/setup.cfg)

.DEFAULT_GOAL := help
.PHONY: help venv servers run test lint format types floors pytest long faults mutants unit contract \
	integration acceptance bench bench-report docs fuzzer fuzz audit lock sample clean
# Two test suites at once would only fight for the processors.
.NOTPARALLEL:

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) \
		| while IFS='|' read -r name what; do printf '%-22s %s\n' "  $$name" "$$what"; done

venv: $(VENV)/.complete ## make .venv with everything in it (PYTHON=... chooses the interpreter)

$(VENV)/.complete: $(REQUIREMENTS) tools/find-python.sh tools/make-venv.sh
	@python=$$(PYTHON='$(PYTHON)' sh tools/find-python.sh) && sh tools/make-venv.sh "$$python" $(VENV)
	@touch $@

servers: ## find or get the server programs that the tests start (RabbitMQ, XMPP, the databases)
	@python=$$(PYTHON='$(PYTHON)' sh tools/find-python.sh) && "$$python" -m tools.servers $(SERVERS)

run: venv ## run the example tracker (ONCE=1: one round, then stop)
	$(BIN)/python -m examples.tracker.demo $(if $(ONCE),--once)

test: servers venv lint types floors pytest docs ## all that has to pass

lint: venv ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: venv ## put the style right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: venv ## type annotations
	$(BIN)/mypy

floors: venv ## which package may import which
	$(BIN)/lint-imports

# Three processes for two processors, since half of the time a test waits. Each has servers of its
# own. The acceptance tests start many processes themselves, so there are two of them only.
pytest: servers venv ## every test but the long ones and most faults (ARGS="-k word": some)
	$(PYTEST) -n 3 --dist worksteal -m "not long" --hypothesis-profile=same \
		tests/unit tests/contract tests/integration plugins $(ARGS)
	$(PYTEST) -n 2 --dist worksteal -m "not long and not faults" tests/acceptance tests/faults $(ARGS)

long: servers venv ## the tests that take too long for each run
	$(PYTEST) -m long $(ARGS)

# Some faults need the processors for themselves, so there is one process.
faults: servers fuzzer ## every fault there is, with a table at the end (ARGS="--seed N": the same again; --soak SECONDS)
	$(PYTEST) $(if $(findstring tests/,$(ARGS)),,tests/faults) $(ARGS)

mutants: servers venv ## break a copy in known ways; the faults have to find each of them out
	$(BIN)/python -m tests.faults.mutants $(ARGS)

unit: venv ## tests of single modules, without servers
	$(PYTEST) tests/unit $(ARGS)

contract: servers venv ## one set of tests for all implementations of a contract
	$(PYTEST) tests/contract $(ARGS)

integration: servers venv ## tests against real servers
	$(PYTEST) tests/integration $(ARGS)

acceptance: servers venv ## the installed commands, seen from outside
	$(PYTEST) tests/acceptance $(ARGS)

bench: servers venv ## measure eventworker and its peers side by side (ARGS="throughput --quick"; ARGS=--help)
	$(BIN)/python -m benchmarks $(ARGS)

bench-report: venv ## tables and plots for docs/performance (ARGS="RESULTS.json ...", written by bench with --out)
	@$(BIN)/python -c 'import matplotlib' 2>/dev/null || $(BIN)/python -m pip install --quiet -e '.[bench]'
	$(BIN)/python -m benchmarks.report $(ARGS) --to docs/performance

fuzzer: venv
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python -m pip install --quiet -e '.[fuzz]'

fuzz: fuzzer ## fuzz what reads a stranger's bytes (SECONDS=600: for so long)
	$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),600)

audit: venv ## what is known against the locked dependencies, and their list (exit code 3: unknown)
	@$(BIN)/python -c 'import pip_audit, cyclonedx_py' 2>/dev/null \
		|| $(BIN)/python -m pip install --quiet -e '.[audit]'
	@$(BIN)/python -m tools.supply audit

lock: venv ## pin the run-time dependencies anew, with their hashes, in requirements.lock
	@$(BIN)/python -c 'import piptools' 2>/dev/null || $(BIN)/python -m pip install --quiet -e '.[audit]'
	$(BIN)/python -m tools.supply lock

docs: venv ## the documentation, in docs/_build/html
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

sample: venv ## write etc/eventworker.conf.sample anew
	$(BIN)/oslo-config-generator --config-file etc/config-generator.conf \
		--output-file etc/eventworker.conf.sample

clean: ## remove all that the commands above made
	rm -rf $(VENV) .servers.json .pytest_cache .mypy_cache .ruff_cache .import_linter_cache \
		.hypothesis .fuzz benchmarks/.venvs build dist docs/_build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find . -name '*.egg-info' -type d -prune -exec rm -rf {} +
