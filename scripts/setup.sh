#!/bin/sh
# Installs what building, testing and the demo need on Debian, only what is missing. Safe to run twice.
set -eu

# What is called, and the package that brings it.
needed="
cc gcc
ld binutils
dockerd docker.io
docker docker.io
nft nftables
iptables iptables
ip iproute2
busybox busybox-static
curl curl
openssl openssl
ps procps
cgroupfs-mount cgroupfs-mount
nsenter util-linux
flock util-linux
hostname hostname
git git
"

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

packages=
need() {
	case " $packages " in
	*" $1 "*) ;;
	*) packages="$packages $1" ;;
	esac
}

while read -r command package; do
	[ -n "$command" ] || continue
	command -v "$command" >/dev/null 2>&1 || need "$package"
done <<EOF
$needed
EOF

# Debian has a busybox without the programs that the test images are made of, and linked to libraries.
if command -v busybox >/dev/null 2>&1 && ! busybox --list 2>/dev/null | grep -qx httpd; then
	need busybox-static
fi
# The headers that C parts of crates are built with.
[ -e /usr/include/stdio.h ] || need libc6-dev

command -v cargo >/dev/null 2>&1 || {
	echo "setup: cargo is missing: install Rust first" >&2
	exit 1
}

as_root=
if [ "$(id -u)" -ne 0 ]; then
	as_root=sudo
fi

if [ -n "$packages" ]; then
	command -v apt-get >/dev/null 2>&1 || {
		echo "setup: no apt-get here: install by hand what Debian has as$packages" >&2
		exit 1
	}
	echo "setup: installing$packages"
	export DEBIAN_FRONTEND=noninteractive
	# shellcheck disable=SC2086 # One argument for each package.
	{
		$as_root apt-get -q update
		$as_root apt-get -q install --yes --no-install-recommends $packages
	}
fi

# A machine without an init system may have no cgroups mounted, and dockerd needs them.
if [ ! -e /sys/fs/cgroup/cgroup.controllers ] && [ ! -e /sys/fs/cgroup/pids/tasks ]; then
	$as_root cgroupfs-mount
fi
echo "setup: everything is there"
