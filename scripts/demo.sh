#!/bin/sh
# Starts a swarm of this one machine and a web service in it. Safe to run twice; `make demo-down` removes it.
set -eu
. "$(dirname "$0")/demo_lib.sh"

# Built by whoever calls, before becoming root.
if [ "${SWARM_DEMO_BUILT:-}" != yes ]; then
	say "building"
	(cd "$root" && cargo build --quiet --locked --package swarm-cli --package swarm-agent --package swarm-manager)
	if [ "$(id -u)" -ne 0 ]; then
		exec sudo --preserve-env=CARGO_TARGET_DIR,SWARM_DEMO_DIR SWARM_DEMO_BUILT=yes sh "$0"
	fi
fi
mkdir -p "$demo_dir"

# An engine that runs is used; else one is started that lives in the demo's folder.
if [ ! -f "$demo_dir/engine" ] && docker --host unix:///var/run/docker.sock version >/dev/null 2>&1; then
	echo unix:///var/run/docker.sock >"$demo_dir/engine"
	say "using the dockerd that runs here"
fi
own_engine=unix://$demo_dir/docker.sock
if [ ! -f "$demo_dir/engine" ] || [ "$(cat "$demo_dir/engine")" = "$own_engine" ]; then
	echo "$own_engine" >"$demo_dir/engine"
	if ! running_pid "$demo_dir/dockerd.pid" "$demo_dir/docker" >/dev/null; then
		say "starting dockerd"
		# What dockerd changes and does not put back; another one that is here keeps what it made.
		if [ ! -e /sys/class/net/docker0 ] && [ ! -f "$demo_dir/network-before" ]; then
			policy=$(iptables -S FORWARD | sed -n 's/^-P FORWARD //p')
			echo "$(cat /proc/sys/net/ipv4/ip_forward) $policy" >"$demo_dir/network-before"
		fi
		start_process dockerd dockerd --host "$own_engine" --data-root "$demo_dir/docker" \
			--exec-root "$demo_dir/docker-run" --pidfile "$demo_dir/docker-run.pid"
	fi
	wait_for "an answer from dockerd" 60 engine version
fi

# The image, without any registry: busybox with a page to serve.
if ! engine image inspect "$image" >/dev/null 2>&1; then
	say "making the image $image"
	files=$(mktemp -d)
	trap 'rm -rf "$files"' EXIT
	mkdir -p "$files/bin" "$files/tmp" "$files/www/cgi-bin"
	cp "$(command -v busybox)" "$files/bin/busybox"
	for name in sh httpd hostname; do ln -s busybox "$files/bin/$name"; done
	cat >"$files/bin/web" <<'WEB'
#!/bin/sh
trap 'exit 0' TERM INT
httpd -f -p 8080 -h /www &
wait $!
WEB
	cat >"$files/www/cgi-bin/index.cgi" <<'CGI'
#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\nHello from task %s on container %s\n' "$TASK" "$(hostname)"
CGI
	chmod 755 "$files/bin/web" "$files/www/cgi-bin/index.cgi"
	tar -C "$files" -c . | engine import --change 'ENTRYPOINT ["web"]' --change 'EXPOSE 8080' - "$image" >/dev/null
fi

if ! running_pid "$demo_dir/agent.pid" "$demo_dir/agent" >/dev/null; then
	say "starting swarm-agent"
	start_process agent "$bin/swarm-agent" --state-dir "$demo_dir/agent" --host "$DOCKER_HOST" \
		--docker-host "$(cat "$demo_dir/engine")" --manager-bin "$bin/swarm-manager"
fi
answers() {
	running_pid "$demo_dir/agent.pid" "$demo_dir/agent" >/dev/null &&
		curl --silent --fail --unix-socket "$demo_dir/swarm.sock" http://localhost/_ping
}
wait_for "an answer from swarm-agent" 30 answers || {
	tail -n 20 "$demo_dir/agent.log" >&2
	exit 1
}

# This machine alone: nothing is opened to the network but the service's port.
if ! "$bin/swarm" node ls >/dev/null 2>&1; then
	say "swarm init"
	"$bin/swarm" init --advertise-addr 127.0.0.1 --listen-addr 127.0.0.1:2377
fi

if ! "$bin/swarm" service inspect web >/dev/null 2>&1; then
	say "swarm service create --name web … $image"
	"$bin/swarm" service create --name web --replicas 1 --env 'TASK={{.Task.Name}}' \
		--publish "published=$port,target=8080,mode=host" "$image"
fi

say "waiting for http://localhost:$port/"
page() { curl --silent --fail --max-time 2 "http://localhost:$port/"; }
wait_for "an answer from the service" 60 page || {
	"$bin/swarm" service ps --no-trunc web >&2
	exit 1
}
page

cat <<EOF

The swarm runs. For this shell:

  export PATH=$bin:\$PATH DOCKER_HOST=$DOCKER_HOST

Then try, with \`swarm\` or with \`docker\`, which both talk to the swarm now:

  swarm service ps web                       its task, on this node
  curl localhost:$port
  docker kill \$(docker ps -q --filter label=com.docker.swarm.service.name=web)
  swarm service ps web                       the killed task and its replacement
  swarm service update --env-add COLOR=blue web
  swarm service create --name more --replicas 5 $image
  docker service ls
  docker node ls

\`make demo-down\` stops and removes all of it.
EOF
