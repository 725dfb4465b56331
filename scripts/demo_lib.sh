# Shared by the demo's scripts: where things are and how to know what is running. Meant to be sourced.
# shellcheck shell=sh

root=$(cd "$(dirname "$0")/.." && pwd)
bin=${CARGO_TARGET_DIR:-$root/target}/debug
# Short, because paths of sockets are limited to 107 bytes.
demo_dir=${SWARM_DEMO_DIR:-/var/lib/swarm-demo}
port=8080
image=swarm-demo/web:1
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export DOCKER_HOST="unix://$demo_dir/swarm.sock"

say() {
	echo "demo: $*"
}

fail() {
	echo "demo: $*" >&2
	exit 1
}

# Runs the script again as root, which network and containers need.
become_root() {
	if [ "$(id -u)" -ne 0 ]; then
		exec sudo --preserve-env=CARGO_TARGET_DIR,SWARM_DEMO_DIR sh "$0" "$@"
	fi
}

# Waits until a command succeeds. Arguments: what for, seconds, command.
wait_for() {
	what=$1
	tries=$(($2 * 10))
	shift 2
	until "$@" >/dev/null 2>&1; do
		tries=$((tries - 1))
		if [ "$tries" -le 0 ]; then
			echo "demo: $what: waited in vain; logs are in $demo_dir" >&2
			return 1
		fi
		sleep 0.1
	done
}

# The process id in a file, when that process still is the program that was started. Arguments: file,
# a word of the program's command line.
running_pid() {
	[ -f "$1" ] || return 1
	pid=$(cat "$1")
	[ -r "/proc/$pid/cmdline" ] || return 1
	tr '\0' '\n' <"/proc/$pid/cmdline" | grep -qxF -- "$2" || return 1
	echo "$pid"
}

# Ends a process started by the demo and waits for its end. Arguments: as running_pid, and its name.
stop_process() {
	pid=$(running_pid "$1" "$2") || return 0
	say "stopping $3"
	kill "$pid"
	gone() { [ ! -e "/proc/$pid" ] || grep -q '^State:.*Z' "/proc/$pid/status"; }
	wait_for "end of $3" 60 gone
}

# Starts a program in the background, out of the terminal's reach. Arguments: name, command.
start_process() {
	name=$1
	shift
	setsid "$@" </dev/null >>"$demo_dir/$name.log" 2>&1 &
	echo $! >"$demo_dir/$name.pid"
}

# docker at the engine that the demo uses, instead of at the agent.
engine() {
	DOCKER_HOST=$(cat "$demo_dir/engine") docker "$@"
}
