# Pinned tools. Each folder beside this file pins one group in its go.mod; the
# installer in install/ builds a group once per machine and links it into
# .cache/bin. Nothing here is rebuilt while its pins stand.

tools_dir := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))

TOOLS_BIN   := $(abspath $(tools_dir)/../.cache/bin)
TOOL_GROUPS := kubernetes kwok crossplane tekton crossplane-cli golangci-lint actionlint cyclonedx-gomod codegen promtool terraform

# $(call install_tools,GROUP...) is a recipe line. A developer's GOFLAGS, GOWORK
# or target platform must not reach the installer.
install_tools = @cd $(tools_dir)/install && \
	env -u GOOS -u GOARCH GOFLAGS=-mod=readonly GOWORK=off CGO_ENABLED=0 go run . -root $(tools_dir)/.. $(1)

.PHONY: tools tools-controlplane tools-test crds $(TOOL_GROUPS:%=tools-%)

tools: ## Build and link every pinned tool (about 15 min once per machine, then nothing)
	$(call install_tools)

tools-controlplane: ## Only what the embedded control plane runs, with the CRDs
	$(call install_tools,kubernetes kwok crossplane tekton crds)

crds: ## Link the CRDs and charts of the pinned upstream modules into .cache
	$(call install_tools,crds)

tools-kubernetes: ## Only etcd, the Kubernetes control plane and kubectl
tools-kwok: ## Only KWOK, which plays nodes and pods
tools-crossplane: ## Only Crossplane core
tools-tekton: ## Only the controller, the listener and the interceptors of Tekton Triggers
tools-crossplane-cli: ## Only the Crossplane CLI
tools-golangci-lint: ## Only golangci-lint
tools-actionlint: ## Only actionlint
tools-cyclonedx-gomod: ## Only cyclonedx-gomod, which lists what is in a program
tools-codegen: ## Only controller-gen and angryjet
tools-promtool: ## Only promtool, which checks and tests alerts
tools-terraform: ## Only terraform, which tests use to parse what we generate
$(TOOL_GROUPS:%=tools-%): tools-%:
	$(call install_tools,$*)

tools-test: ## Test the installer of the tools
	cd $(tools_dir)/install && GOFLAGS=-mod=readonly GOWORK=off go test ./...
