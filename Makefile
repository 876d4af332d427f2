# Two commands do everything: `make run` starts both services, `make test` installs and tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := -e proto -e pop3-service -e scmp-gateway -e admin-cli
BUILD_TOOLS := hatchling editables grpcio-tools mypy-protobuf
TEST_TOOLS := pytest pytest-asyncio pytest-cov pytest-timeout pytest-xdist hypothesis docker import-linter
CHECK_TOOLS := mypy ruff types-grpcio types-protobuf types-docker
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
SCALE ?= ci
SHELL := /bin/bash

.DEFAULT_GOAL := help
.PHONY: help run test coverage soak bench scorecard check proto rights clean

help: ## Show the targets.
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# What runs needs less than what tests; each stamp is older than nothing it depends on.
$(VENV)/run.stamp: constraints.txt $(wildcard */pyproject.toml) $(wildcard proto/pop3mgmt/v1/*.proto) proto/generate.py | $(BIN)/python
	$(PIP) install -c constraints.txt $(BUILD_TOOLS)
	PATH="$(abspath $(BIN)):$$PATH" $(PIP) install -c constraints.txt --no-build-isolation $(PACKAGES)
	touch $@

$(VENV)/test.stamp: $(VENV)/run.stamp pyproject.toml
	$(PIP) install -c constraints.txt $(TEST_TOOLS)
	touch $@

$(VENV)/check.stamp: $(VENV)/test.stamp
	$(PIP) install -c constraints.txt $(CHECK_TOOLS)
	touch $@

# Both services in the foreground; Ctrl-C reaches both, and the recipe waits until they have ended.
run: $(VENV)/run.stamp ## Start both services here, without Docker; Ctrl-C ends them.
	@mkdir -p maildir-volume var
	@echo 'POP3  127.0.0.1:1110 and [::1]:9090, as user1 / pass1 (to user3 / pass3)'
	@echo 'TLS   localhost:1995; its certificate is var/tls/fullchain.pem'
	@echo 'SCMP  telnet localhost 1111, as default / default; then HELP'
	@echo 'CLI   POP3CTL_USER=default POP3CTL_PASSWORD=default $(BIN)/pop3ctl status'
	@trap stopped=yes HUP INT TERM; \
	$(BIN)/pop3d --demo --bind-ipv4 127.0.0.1 --bind-ipv6 ::1 $(ARGS) & service=$$!; \
	$(BIN)/scmp-gateway & gateway=$$!; \
	wait -n; status=$$?; \
	kill -TERM $$gateway $$service 2>/dev/null; wait; [ $$stopped ] || exit $$status

# AT_ONCE=0 runs the tests in one process, which shows their figures as well.
AT_ONCE ?= 3
# What they start, hundreds of times, is compiled once, also where nothing else is to be.
test: $(VENV)/test.stamp ## Install and run the tests (SCALE=ci).
	PYTHONDONTWRITEBYTECODE= VALIJA_SCALE=$(SCALE) $(BIN)/python -m pytest -n $(AT_ONCE) \
	    --dist loadscope --no-loadscope-reorder $(ARGS)

# It takes two fifths more of the processors, which the tests alone need not wait for.
coverage: ## Run the tests, and tell which branches of the code they take.
	$(MAKE) test ARGS='--cov --cov-report=term $(ARGS)'

soak: ## Run the tests at their full size.
	$(MAKE) test SCALE=full AT_ONCE=0

# BENCH=sessions,retr chooses modes, ROUNDS= and SECONDS_EACH= how long, BEFORE=folder another
# checkout of ours to measure beside this one. As in an image, our modules are compiled already.
bench: $(VENV)/test.stamp ## Measure beside Dovecot; BENCH= chooses modes.
	PYTHONDONTWRITEBYTECODE= PYTHONPATH=tests $(BIN)/python -m performance \
	    --bench '$(BENCH)' --before '$(BEFORE)' --rounds '$(or $(ROUNDS),0)' \
	    --seconds-each '$(or $(SECONDS_EACH),0)' $(ARGS)

# Any server: it needs no more than python3. tests/conformance/README.md has the options.
scorecard: ## Check a POP3 server rule by rule; ARGS='HOST PORT --user NAME --password-file FILE'.
	@PYTHONPATH=tests $(PYTHON) -m conformance.scorecard $(ARGS)

check: $(VENV)/check.stamp ## Style, types and layering.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

proto: $(VENV)/run.stamp ## Generate the gRPC modules again.
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python proto/generate.py

rights: $(VENV)/test.stamp ## Print the table of rights, calls, verbs and commands.
	@PYTHONPATH=tests $(BIN)/python -m contract.rights

clean: ## Remove what was installed and generated here.
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find proto/pop3mgmt/v1 -name '*_pb2*.py*' -delete
