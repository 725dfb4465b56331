#!/bin/sh
# Builds everything for release and measures the rows of the design's table beside Docker Swarm and etcd.
# usage: bench.sh [ROW]...
set -eu

cd "$(dirname "$0")/.."

if ! command -v etcd >/dev/null 2>&1; then
	as_root=
	[ "$(id -u)" -eq 0 ] || as_root=sudo
	$as_root apt-get -q update
	$as_root apt-get -q install --yes --no-install-recommends etcd-server
fi

cargo build --release --locked --workspace
cargo build --release --locked --package swarm-planner --example place

# A connection and a file per hollow node and side.
ulimit -n "$(ulimit -H -n)"
target=${CARGO_TARGET_DIR:-target}/release
# So long as it measures it may not hang: half an hour is more than all rows take.
SWARM_BIN_DIR=$target exec timeout 1800 "$target/bench" --results benchmarks/RESULTS.md "$@"
