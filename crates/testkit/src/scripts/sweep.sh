# Removes everything that a test bed left on the machine. Argument: the bed's folder.
#
# Safe to run twice and on half-made beds. Processes are known by the SWARM_BED variable that every
# process started for the bed carries; containers carry none, but end with their host's first process.
set -u
bed_dir=$1
[ -f "$bed_dir/name" ] || exit 0
name=$(cat "$bed_dir/name")

bed_processes() {
	grep -lzxF "SWARM_BED=$bed_dir" /proc/[0-9]*/environ 2>/dev/null |
		sed -n 's|^/proc/\([0-9]*\)/environ$|\1|p'
}

# First the first processes of the hosts: all else in a host ends with them, and what waits for it out
# here gets to collect it. Their number may by now be that of a stranger, hence the look at the variable.
for file in "$bed_dir"/h*/init.pid; do
	[ -f "$file" ] || continue
	pid=$(cat "$file")
	if grep -qzxF "SWARM_BED=$bed_dir" "/proc/$pid/environ" 2>/dev/null; then
		kill -9 "$pid"
	fi
done

# Then what is left, in rounds: a process found in one may have started another meanwhile. The first
# rounds only wait for what is ending by itself.
round=0
while [ "$round" -lt 200 ]; do
	pids=$(bed_processes)
	[ -n "$pids" ] || break
	if [ "$round" -ge 20 ]; then
		# Word splitting is wanted: one argument for each process.
		# shellcheck disable=SC2086
		kill -9 $pids 2>/dev/null
	fi
	sleep 0.05
	round=$((round + 1))
done

ip netns list | sed 's/ .*//' | while read -r netns; do
	case $netns in
	"$name"-*) ip netns del "$netns" ;;
	esac
done

# A cgroup is busy until its last process is gone from it, which may be a moment after the kill.
round=0
while [ "$round" -lt 100 ]; do
	left=$(find /sys/fs/cgroup -depth -type d \( -name "swarm-bed-$name" -o -path "*/swarm-bed-$name/*" \) 2>/dev/null)
	[ -n "$left" ] || break
	echo "$left" | while read -r group; do rmdir "$group" 2>/dev/null; done
	round=$((round + 1))
	[ "$round" -eq 1 ] || sleep 0.05
done

rm -rf --one-file-system "$bed_dir"
