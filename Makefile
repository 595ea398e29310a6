# Every command of the project. `make` alone lists them. All tools come from pinned Go modules; see tools/.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

include tools/tools.mk

FUNCTIONS := organization repobinding knowledgebase platform
PROVIDER  := provider-cloudflare-tunnel
BIN       := .cache/bin
# A developer's GOFLAGS or GOWORK must not change what is built. All use the flags of the tools' builds, so that what one of them has
# compiled, no other compiles again.
GOENV     := GOWORK=off CGO_ENABLED=0 GOFLAGS='-mod=readonly -trimpath'
GO        := env $(GOENV) go
GENERATED := package/crds provider-cloudflare-tunnel/apis docs/api
# What packages are made of. The paths are absolute, since there is a target package.
PACKAGED  := $(shell find $(addprefix $(CURDIR)/,Makefile go.mod go.sum apis compositions functions package $(PROVIDER) tools/xpkg) \
	-name testdata -prune -o ! -name '*_test.go' -print)

# Where packages are published, and as which version; releases and forks set both.
REGISTRY  ?= registry.example.com/aphex
VERSION   ?= $(shell git describe --tags --exact-match 2>/dev/null || echo v0.0.0-dev)

.PHONY: help build simulator package package-push package-test generate verify lint lint-workflows unit golden race triggers externalsecrets network argocdrbac authentik dex imageconfig terraform observability e2e test render demo bench fuzz clean

help: ## List these commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: simulator ## Build the functions and the provider, and what plays Cloudflare for tests, into .cache/bin
	@for f in $(FUNCTIONS); do \
		$(GO) build -o $(BIN)/function-$$f ./functions/$$f; \
	done
	@$(GO) build -o $(BIN)/$(PROVIDER) ./$(PROVIDER)/cmd/provider

simulator: ## Build only what plays Cloudflare for tests
	@mkdir -p $(BIN)
	@$(GO) build -o $(BIN)/cloudflare-simulator ./$(PROVIDER)/internal/cloudflare/cloudflaretest/simulator

package: tools-crossplane-cli ## Build the Crossplane packages and the manifests that install them into .cache/package (REGISTRY, VERSION)
	@cd tools/xpkg && $(GO) run . -registry $(REGISTRY) -version $(VERSION)

package-push: tools-crossplane-cli tools-cyclonedx-gomod ## The same with bills of materials, and push the packages to REGISTRY
	@cd tools/xpkg && $(GO) run . -registry $(REGISTRY) -version $(VERSION) -bills -push

demo: tools-controlplane simulator .cache/demo/install.yaml ## Install the packages on a platform on this machine and claim the examples (DEMO_ONCE=1 stops by itself)
	@cd test && $(GO) run ./demo

# The packages for this machine alone. Folders are among what they are made of, so that a file that is gone counts too.
.cache/demo/install.yaml: $(PACKAGED) | tools-crossplane-cli
	@cd tools/xpkg && $(GO) run . -out ../../$(@D) -version v0.0.0-demo -platforms "$$($(GO) env GOOS)/$$($(GO) env GOARCH)"

render: tools-crossplane tools-crossplane-cli crds build ## Render every example with Crossplane's own engine and validate the output
	@cd test && $(GO) run ./render



test: unit race tools-test triggers externalsecrets network argocdrbac authentik dex imageconfig terraform observability render package-test e2e ## All tests

unit: crds ## Unit and golden tests: seconds, no tools
	$(GO) test ./...

golden: crds ## Rewrite the golden files; review that diff like code
	$(GO) test $(FUNCTIONS:%=./functions/%) -run TestGolden -update

# Go's test cache does not notice when a file outside of the module changes, so it is not asked in these.
triggers: crds ## Decode and validate the golden files' Tekton Triggers objects with Tekton's own code
	cd test/triggers && $(GO) test -count=1 ./...

externalsecrets: ## Hold the golden files' secret stores, and the example, against External Secrets' own rules
	cd test/externalsecrets && $(GO) test -count=1 ./...

network: ## Ask a published evaluator what the golden files' network policies let through
	cd test/network && $(GO) test -count=1 ./...

argocdrbac: ## Ask Argo CD's own code what the golden files let each group do and how people log in, and its documentation for sync options
	cd test/argocdrbac && $(GO) test -count=1 ./...

authentik: ## Hold the config sync job, the stand-in of its tests and the blueprints against Authentik's published schema
	cd test/authentik && $(GO) test -count=1 ./...

imageconfig: ## Let Crossplane's own code read the ImageConfigs of the documentation: what has to be signed, and by whom
	cd test/imageconfig && $(GO) test -count=1 ./...

dex: ## Let Dex's own connector log somebody in with the golden files' configuration
	cd test/dex && $(GO) test -count=1 ./...

terraform: tools-terraform ## Parse the generated Terraform backend with terraform
	$(GO) test ./functions/repobinding -run TestTerraform -count=1

observability: tools-promtool crds ## Test the alerts with promtool, and hold alerts and dashboard against the sources of their metrics
	$(BIN)/promtool check rules package/observability/alerts.yaml
	$(BIN)/promtool test rules test/observability/alerts_test.yaml
	cd test/observability && $(GO) test -count=1 ./...

package-test: tools-crossplane-cli tools-cyclonedx-gomod ## Test what is in the packages, and that building them again gives the same digests
	cd tools/xpkg && $(GO) test -count=1 -v ./...

e2e: tools-controlplane tools-crossplane-cli build ## End-to-end tests on a control plane of real parts
	cd test && $(GO) test ./controlplane ./demo ./bench ./login -count=1 -timeout 15m -v
	cd test && $(GO) test ./e2e -count=1 -timeout 75m -v

fuzz: crds ## Fuzz every target for FUZZTIME (30s)
	@for file in $$(git grep -l '^func Fuzz' -- '*_test.go'); do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9]*\)(.*/\1/p' $$file); do \
			echo "$$(dirname $$file) $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $${FUZZTIME:-30s} ./$$(dirname $$file); \
		done; \
	done

race: crds ## Test the provider with Go's race detector, which needs a C compiler
	@if command -v "$$($(GO) env CC)" >/dev/null; then \
		set -x; env $(GOENV) CGO_ENABLED=1 go test -race ./$(PROVIDER)/...; \
	else \
		echo "NOT RUN: there is no C compiler, which the race detector needs; the same tests ran without it"; \
	fi

bench: tools-controlplane build ## Measure the functions and a live control plane against floors of the same run
	cd test && $(GO) run ./bench



generate: tools-codegen ## Regenerate Go code and CRDs from the API types, and the reference in docs/api from XRDs and CRDs
	$(BIN)/controller-gen object:headerFile=/dev/null paths=./provider-cloudflare-tunnel/apis/... \
		crd:crdVersions=v1 output:crd:artifacts:config=package/crds
	$(BIN)/angryjet generate-methodsets ./provider-cloudflare-tunnel/apis/...
	$(GO) run ./docs/internal/apidocs

verify: generate ## Regenerate and fail on a difference; check formatting and modules
	@changed="$$(git status --porcelain -- $(GENERATED))"; if [ -n "$$changed" ]; then \
		git --no-pager diff -- $(GENERATED); echo "$$changed"; echo "generated files are stale: run make generate and commit"; exit 1; fi
	@unformatted="$$(gofmt -l $$(git ls-files '*.go'))"; if [ -n "$$unformatted" ]; then \
		echo "not formatted: $$unformatted; run gofmt -w"; exit 1; fi
	$(GO) mod verify

# The other modules hold little each that stands on all of Tekton, Crossplane, cosign, Prometheus or the network policies' evaluator,
# which takes minutes to analyse in every new clone; LINTED="test/triggers tools/tekton" lints such.
LINTED ?= . test test/argocdrbac test/authentik test/dex test/externalsecrets tools/install tools/xpkg

lint: lint-workflows tools-golangci-lint ## Lint the workflows, the product, its tests and what installs and packages (LINTED); .golangci.yml has the reasons
	@for folder in $(LINTED); do \
		echo "golangci-lint $$folder"; \
		( cd "$$folder"; env $(GOENV) $(CURDIR)/$(BIN)/golangci-lint run --allow-serial-runners --config $(CURDIR)/.golangci.yml ./... ); \
	done

lint-workflows: tools-actionlint ## Lint the workflows of GitHub Actions, and the scripts in them if there is shellcheck
	$(BIN)/actionlint
	@loose="$$(grep -rnE 'uses: [^.]' .github | grep -vE '@[0-9a-f]{40} # v[0-9.]+$$' || true)"; if [ -n "$$loose" ]; then \
		echo "pin these by commit, with the version in a comment:"; echo "$$loose"; exit 1; fi

clean: ## Remove links and built functions of this clone; what other clones share stays
	rm -rf .cache
