# Needs make, and a Python of at least 3.11 with venv and pip; everything else is installed into .venv.
# `make lock` renews the pinned versions in requirements.txt.

PYTHON ?= python3
WORKERS ?= 2
ARGS ?=
SEED ?= 1
MINUTES ?= 10
SECONDS ?= 120

BIN := .venv/bin
STAMP := .venv/installed
LOCK_FLAGS := --quiet --strip-extras --generate-hashes --allow-unsafe \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header
COMPILE := env -u PIP_FIND_LINKS $(CURDIR)/$(BIN)/python -m piptools compile $(LOCK_FLAGS) $(ARGS)

.PHONY: install demo test soak soak-planted outage screenshots check lock sdk-environments sdk-lock
.DEFAULT_GOAL := demo

install: $(STAMP)

$(STAMP): requirements.txt pyproject.toml client/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "tael needs Python 3.11 or newer; name one by make PYTHON=...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable ./client
	@touch $(STAMP)

demo: install
	$(BIN)/tael demo $(ARGS)

test: install
	@$(BIN)/python -m tests.browser.chromium
	$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

soak: install
	$(BIN)/python -m tests.soak --seed $(SEED) --minutes $(MINUTES) $(ARGS)

# A soak that finds nothing proves nothing: each of these bugs, planted on purpose, must be found.
soak-planted: install
	@for bug in no-reservation no-version-check webhook-after-commit; do \
		$(BIN)/python -m tests.soak --planted $$bug --seed $(SEED) --minutes 2 || exit 1; \
	done

outage: install
	$(BIN)/python -m tests.soak.outage --seconds $(SECONDS) --seed $(SEED) $(ARGS)
	$(BIN)/python -m tests.soak.isolation

# The pictures of the documents, renewed when a page's look has changed.
screenshots: install
	@$(BIN)/python -m tests.browser.chromium
	$(BIN)/python -m tests.browser.screenshots

check: install
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports

lock: install
	$(COMPILE) --extra demo --extra dev --output-file requirements.txt pyproject.toml

# The third-party SDKs of tests/sdk, each in a folder of its own under .sdk; the tests make what is missing.
sdk-environments: install
	$(BIN)/python -m tests.sdk.environments

sdk-lock: install
	@for sdk in wechatpy alipay; do \
		(cd tests/sdk/$$sdk && $(COMPILE) --output-file requirements.txt requirements.in) || exit 1; \
	done
	cd tests/sdk/wechatpay-axios-plugin && npm install --package-lock-only --omit-lockfile-registry-resolved \
		--legacy-peer-deps --no-audit --no-fund
	@$(BIN)/python -c 'import json, sys; path = sys.argv[1]; lock = json.load(open(path)); \
		[row.pop("funding", None) for row in lock["packages"].values()]; \
		open(path, "w").write(json.dumps(lock, indent=2) + "\n")' tests/sdk/wechatpay-axios-plugin/package-lock.json
