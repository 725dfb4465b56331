#!/bin/sh
# Builds, and breaks five hosts at random under writers. usage: chaos.sh [MINUTES [SEED]]
set -eu
cd "$(dirname "$0")/.."

cargo build --workspace --locked
as_root=
[ "$(id -u)" -eq 0 ] || as_root="sudo --preserve-env"
$as_root target/debug/testbed clean
exec $as_root target/debug/chaos --minutes "${1:-15}" ${2:+--seed "$2"}
