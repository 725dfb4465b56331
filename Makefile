# Every recipe is one line; what there is to know is in scripts/ and in crates/xtask.
.PHONY: help setup build test sim bench chaos demo demo-down check fix

help: ## Tell what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: ## Install what is missing on Debian (needs root or sudo)
	@sh scripts/setup.sh

build: ## Build the programs, into target/debug
	@cargo build --workspace --locked

test: setup ## Set up, build and run all tests, those on real clusters too
	@sh scripts/test.sh

sim: ## Simulate worlds: make sim SEED=7 for one, make sim SEEDS=0..1000 for many
	@cargo run --quiet --locked --package swarm-simulation -- $(if $(SEEDS),--seeds $(SEEDS),--seed $(or $(SEED),0))

bench: setup ## Measure beside Docker Swarm and etcd; ROW=writes for one row, ROW=list names them
	@sh scripts/bench.sh $(ROW)

chaos: setup ## Break five hosts at random under writers and check that nothing is lost; MINUTES=15 SEED=…
	@sh scripts/chaos.sh "$(MINUTES)" "$(SEED)"

demo: setup ## Start a swarm on this machine with a web service in it
	@sh scripts/demo.sh

demo-down: ## Remove everything that `make demo` started
	@sh scripts/demo_down.sh

check: ## Format, lints, arrows between crates, tidiness; changes nothing
	@cargo fmt --all --check && cargo clippy --workspace --all-targets --locked -- -D warnings && cargo run --quiet --package xtask -- arrows && cargo run --quiet --package xtask -- tidy

fix: ## Format and apply what clippy can put right
	@cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged && cargo fmt --all
