# The real test cluster and the demo; the Makefile includes this. `python3 -m cluster --help` in tests/ lists more.

.PHONY: cluster-binaries cluster-images cluster-up cluster-down cluster-status demo

CLUSTER := PYTHONPATH=tests python3 -m cluster

demo: ## The whole product on a real cluster: two workloads, two profiles (root; 10 min the first time, then 90 s; or CONTEXT=…)
	@$(CLUSTER) demo

cluster-up: ## Bring the real test cluster up, two nodes on this machine (root; 7 min the first time, then under 1 min)
	@$(CLUSTER) up

cluster-down: ## Take it down and leave nothing (root; seconds)
	@$(CLUSTER) down

cluster-status: ## Say what of it runs
	@$(CLUSTER) status

cluster-images: ## Build the images of changed sources and load them into the running cluster (root; under 20 s)
	@$(CLUSTER) images

cluster-binaries: ## Build Kubernetes, CoreDNS and pprof for it, and helm for the chart's tests (5 to 7 min the first time)
	@$(CLUSTER) binaries cluster chart
