#!/bin/sh
# Builds everything and runs all tests. Cluster tests make hosts of namespaces, for which they need root.
set -eu
cd "$(dirname "$0")/.."

# The programs first: cluster tests run them, and cargo builds for a test only what its crate names.
cargo build --workspace --locked

if [ "$(id -u)" -ne 0 ]; then
	# Every test program is run through it; what is built stays the caller's.
	target=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
	export "CARGO_TARGET_${target}_RUNNER=sudo --preserve-env"
	as_root=sudo
else
	as_root=
fi
$as_root target/debug/testbed clean

# Examples in comments go first: the last lines printed are then those of the tests.
cargo test --workspace --locked --doc --quiet
if cargo nextest --version >/dev/null 2>&1; then
	cargo nextest run --workspace --locked --no-fail-fast "$@"
else
	# Unit tests beside each other, then those on daemons one at a time.
	cargo test --workspace --locked --no-fail-fast --lib --bins "$@"
	cargo test --workspace --locked --no-fail-fast --test '*' "$@" -- --test-threads=1
fi
