# Requires make, and Python 3.11 or newer with venv and pip; everything else is installed into .venv.
# A target is listed by `make help` with the text behind its `##`, in the order of this file.

# The system's interpreter if it is new enough and has venv: distributions compile theirs with profile-guided optimization,
# which pyenv does not by default.
PYTHON ?= $(shell /usr/bin/python3 -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo /usr/bin/python3 || echo python3)
WORKERS ?= 4
ARGS ?=
SEED ?= 1
MINUTES ?= 10
SECONDS ?= 120
ROWS ?= 10000000
IMAGE ?= tael
SBOM ?= build/sbom

BIN := .venv/bin
# Whole files to a worker, in order: what a file's tests share, such as a demo or a browser, is started once.
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
FAST := tests/unit tests/property tests/client tests/architecture
STAMP := .venv/installed
LOCK_FLAGS := --quiet --strip-extras --generate-hashes --allow-unsafe \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header
COMPILE := env -u PIP_FIND_LINKS $(CURDIR)/$(BIN)/python -m piptools compile $(LOCK_FLAGS) $(ARGS)
# Without tael itself, which no index has to know.
DEMO_DEPENDENCIES := $(BIN)/python -c 'import tomllib; project = tomllib.load(open("demo/pyproject.toml", "rb"))["project"]; \
	print(*(each for each in project["dependencies"] if not each.startswith("tael==")), sep="\n")'

NPM_SDKS := wechatpay-axios-plugin tenpay

.PHONY: help install demo check test test-fast test-crash-full soak soak-planted outage failover image sbom audit reconcile-demo bench bench-quick scale screenshots sdk-environments sdk-lock lock
.DEFAULT_GOAL := demo

help: ## List the targets.
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "make %-18s%s\n", $$1, $$2 }'

install: $(STAMP) ## Install everything into .venv, with pinned versions. PYTHON=python3.12 selects the interpreter.

$(STAMP): requirements.txt pyproject.toml demo/pyproject.toml client/pyproject.toml conformance/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "tael requires Python 3.11 or newer; choose one with make PYTHON=...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable ./demo --editable ./client \
		--editable ./conformance
	@touch $(STAMP)

demo: install ## Start the gateway, both simulated wallets and a shop on 127.0.0.1 (the default target).
	$(BIN)/tael demo $(ARGS)

check: install ## Run ruff, mypy --strict and the import contracts.
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports

test: install ## Run the tests. ARGS="tests/unit -k refund" selects some, WORKERS=2 runs fewer in parallel.
	@$(BIN)/python -m tests.browser.chromium
	$(PYTEST) $(ARGS)

test-fast: install ## Run the tiers that start no server: unit, property, client, architecture.
	$(PYTEST) $(FAST) $(ARGS)

test-crash-full: install ## Check every crash of the fault tests, also those that end in a state checked before.
	$(PYTEST) --crash-full tests/fault -k crash $(ARGS)

soak: install ## Run random payments, faults and kills for MINUTES=10 with SEED=1, then compare all books.
	$(BIN)/python -m tests.soak --seed $(SEED) --minutes $(MINUTES) $(ARGS)

# A soak that finds nothing proves nothing, so each of these bugs must be found.
soak-planted: install ## Verify the soak against four injected bugs, each of which it must detect.
	@for bug in no-reservation no-version-check webhook-after-commit calls-through-all-cells; do \
		$(BIN)/python -m tests.soak --planted $$bug --seed $(SEED) --minutes 2 || exit 1; \
	done

outage: install ## Stop and freeze the database for SECONDS=120 under load, then let a wallet and a process hang.
	$(BIN)/python -m tests.soak.outage --seconds $(SECONDS) --seed $(SEED) $(ARGS)
	$(BIN)/python -m tests.soak.isolation

failover: install ## Kill, freeze and switch the primary of a Patroni cluster under load; needs etcd and PostgreSQL from Debian.
	@$(BIN)/python -m bench.failover $(ARGS)

image: ## Build the container image of the gateway, IMAGE=tael, with buildah and mmdebstrap from Debian.
	@deploy/container/build $(IMAGE)

# The warning is that requirements do not say which package needs which other.
sbom: install ## Write an SBOM of each lock of a deployment as CycloneDX JSON into the folder SBOM=build/sbom.
	@mkdir -p $(SBOM)
	@for lock in gateway traces; do \
		$(BIN)/python -W ignore::UserWarning:cyclonedx.model.bom -m cyclonedx_py requirements requirements-$$lock.txt \
			--pyproject pyproject.toml --output-reproducible $(ARGS) --output-file $(SBOM)/$$lock.cdx.json || exit 1; \
	done

audit: install ## Look for known vulnerabilities in the packages of a deployment. Fails also if no advisory source is reachable.
	@.ci/audit $(ARGS)

reconcile-demo: install ## Reconcile a month of simulated trade with SEED=1 and find each of the errors planted in it.
	@$(BIN)/python -m tael_demo.reconcile --seed $(SEED) $(ARGS)

bench: install ## Measure the gateway against PostgreSQL's own limit. ROWS=10000000 orders are loaded once.
	@$(BIN)/python -m bench --rows $(ROWS) $(ARGS)

bench-quick: install ## See in about a minute that the benchmark works. Its figures mean nothing.
	@$(BIN)/python -m bench --quick $(ARGS)

scale: install ## Measure what cells cost, and predict how many payments several database nodes take.
	@$(BIN)/python -m bench.scale $(ARGS)

screenshots: install ## Redraw the pictures in docs/pictures from a demo.
	@$(BIN)/python -m tests.browser.chromium
	$(BIN)/python -m tests.browser.screenshots

sdk-environments: install ## Install the third-party SDKs of tests/sdk into .sdk; the tests install what is missing.
	$(BIN)/python -m tests.sdk.environments

sdk-lock: install ## Renew the pinned versions of these SDKs.
	@for sdk in wechatpy alipay; do \
		(cd tests/sdk/$$sdk && $(COMPILE) --output-file requirements.txt requirements.in) || exit 1; \
	done
	@for sdk in $(NPM_SDKS); do \
		(cd tests/sdk/$$sdk && npm install --package-lock-only --omit-lockfile-registry-resolved \
			--legacy-peer-deps --no-audit --no-fund) || exit 1; \
	done
	@$(BIN)/python -c 'import json, sys; \
		locks = {path: json.load(open(path)) for path in sys.argv[1:]}; \
		[row.pop("funding", None) for lock in locks.values() for row in lock["packages"].values()]; \
		[open(path, "w").write(json.dumps(lock, indent=2) + "\n") for path, lock in locks.items()]' \
		$(NPM_SDKS:%=tests/sdk/%/package-lock.json)
	@for sdk in gopay silenceper-wechat; do (cd tests/sdk/$$sdk && go mod tidy) || exit 1; done
	@for sdk in weixin-java-pay wxpay-sdk; do \
		(cd tests/sdk/$$sdk && jars=$$(mktemp -d) && \
			mvn --quiet --batch-mode dependency:copy-dependencies -Djars=$$jars && \
			(cd $$jars && sha256sum *.jar) > jars.sha256 && rm -r $$jars) || exit 1; \
	done

lock: install ## Renew the pinned versions, in requirements.txt for all of this, in others for the gateway alone and for its traces.
	$(DEMO_DEPENDENCIES) | $(COMPILE) --extra dev --extra traces --output-file requirements.txt pyproject.toml -
	$(COMPILE) --constraint requirements.txt --output-file requirements-gateway.txt pyproject.toml
	$(COMPILE) --extra traces --constraint requirements.txt --output-file requirements-traces.txt pyproject.toml
