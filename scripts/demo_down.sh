#!/bin/sh
# Removes what `make demo` started: services, swarm, agent, and dockerd when the demo started it. Safe to
# run twice, and after a demo that failed half way.
set -eu
. "$(dirname "$0")/demo_lib.sh"
become_root

if [ ! -d "$demo_dir" ]; then
	say "nothing to remove"
	exit 0
fi

own_engine=unix://$demo_dir/docker.sock
engine_is_up() { [ -f "$demo_dir/engine" ] && engine version >/dev/null 2>&1; }
# The containers of this demo's tasks. An engine that was here before may hold others.
demo_containers() {
	for id in $(engine ps --all --quiet --filter label=com.docker.swarm.node.id); do
		name=$(engine inspect --format '{{index .Config.Labels "com.docker.swarm.node.id"}}' "$id")
		if [ "$name" = "$node_id" ]; then echo "$id"; fi
	done
}

# dockerd leaves its bridge and its firewall rules behind when it stops.
restore_network() {
	[ -f "$demo_dir/network-before" ] || return 0
	read -r forwarding policy <"$demo_dir/network-before"
	for table in filter nat; do
		# Rules first: a chain that is named by one cannot be deleted.
		iptables-save -t "$table" | sed -n '/DOCKER\|docker0/s/^-A //p' | while read -r rule; do
			# shellcheck disable=SC2086 # A rule is several arguments, none of them quoted.
			iptables -t "$table" -D $rule
		done
		iptables-save -t "$table" | sed -n 's/^:\(DOCKER[^ ]*\) .*/\1/p' | while read -r chain; do
			iptables -t "$table" -X "$chain"
		done
	done
	iptables -P FORWARD "$policy"
	echo "$forwarding" >/proc/sys/net/ipv4/ip_forward
	ip link del docker0 2>/dev/null || true
}

if running_pid "$demo_dir/agent.pid" "$demo_dir/agent" >/dev/null; then
	node_id=$(curl --silent --unix-socket "$demo_dir/swarm.sock" http://localhost/info |
		sed -n 's/.*"NodeID":"\([a-z0-9]*\)".*/\1/p')
	if [ -n "$node_id" ]; then
		services=$("$bin/swarm" service ls --quiet 2>/dev/null || true)
		if [ -n "$services" ]; then
			say "removing services"
			# shellcheck disable=SC2086 # One argument for each service.
			"$bin/swarm" service rm $services >/dev/null
			no_containers() { [ -z "$(demo_containers)" ]; }
			wait_for "end of the services" 60 no_containers || true
		fi
		say "leaving the swarm"
		"$bin/swarm" leave --force >/dev/null || true
		# What a broken demo could not remove in order.
		if engine_is_up; then
			for id in $(demo_containers); do engine rm --force "$id" >/dev/null; done
		fi
	fi
	stop_process "$demo_dir/agent.pid" "$demo_dir/agent" swarm-agent
fi
# The manager outlives its agent by design; one that is still there was not stopped by leaving.
for cmdline in /proc/[0-9]*/cmdline; do
	if tr '\0' '\n' <"$cmdline" 2>/dev/null | grep -q "^$demo_dir/agent"; then
		pid=${cmdline#/proc/}
		kill -9 "${pid%/cmdline}" 2>/dev/null || true
	fi
done

if engine_is_up; then
	engine image rm --force "$image" >/dev/null 2>&1 || true
fi
if [ -f "$demo_dir/engine" ] && [ "$(cat "$demo_dir/engine")" = "$own_engine" ]; then
	stop_process "$demo_dir/dockerd.pid" "$demo_dir/docker" dockerd
	restore_network
	# Those of a dockerd that was killed.
	sed -n "s|^[^ ]* \($demo_dir/[^ ]*\) .*|\1|p" /proc/mounts | sort -r | while read -r mounted; do
		umount --lazy "$mounted"
	done
fi
rm -rf --one-file-system "$demo_dir"
say "everything is removed"
