# The first process of one test host. Arguments: the host's folder, its hostname, the bed's folder.
#
# It runs in mount, uts, ipc, pid and network namespaces of its own, so that every process, mount and
# name of the host ends with it. It makes the folders that daemons use by default private to the host.
set -eu
host_dir=$1
hostname=$2
bed_dir=$3

# /proc is still the one of the machine: the id read here is the one that the outside knows.
read -r pid _ </proc/self/stat
echo "$pid" >"$host_dir/init.pid"

# Mounts made here stay here, but containers can still ask for shared propagation.
mount --make-rshared /
mount -t proc proc /proc

# A sysfs of this network namespace, with the cgroups of the machine back in their place.
mkdir -p "$host_dir/cgroup"
mount --rbind /sys/fs/cgroup "$host_dir/cgroup"
# What happens to this copy must not happen to what it was copied from.
mount --make-rprivate "$host_dir/cgroup"
mount -t sysfs sysfs /sys
mount --rbind "$host_dir/cgroup" /sys/fs/cgroup
# By now it is a peer of what is in place: an unmount that is shared would take the cgroups from there as well.
mount --make-rprivate "$host_dir/cgroup"
umount --recursive --lazy "$host_dir/cgroup"
mount --make-rshared /sys

mount --bind "$host_dir/run" /run
mkdir -p /run/docker/plugins /run/netns /run/lock

# Nothing outside the bed is asked for a name: the address is unreachable, so a look-up fails at once.
for name in resolv.conf hosts; do
	target=$(readlink -m "/etc/$name")
	mkdir -p "$(dirname "$target")"
	[ -e "$target" ] || : >"$target"
	mount --bind "$bed_dir/$name" "$target"
done

hostname "$hostname"
: >"$host_dir/booted"

# Ignoring SIGCHLD makes the kernel reap the orphans that the host's daemons leave to process 1.
exec env --ignore-signal=CHLD sleep infinity
