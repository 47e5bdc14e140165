#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# rootfs.sh DIR PROGRAM...   makes a rootfs with programs of this machine and the
# libraries that they load.
set -eu
rootfs=$1
shift
mkdir -p "$rootfs/bin" "$rootfs/etc" "$rootfs/root" "$rootfs/tmp" "$rootfs/mnt/volumes"

for program in "$@"; do
	path=$(command -v "$program") || {
		echo "$0: $program is missing: install Debian's package sshfs" >&2
		exit 1
	}
	cp -L "$path" "$rootfs/bin/$program"
	# Lines of ldd are "name => /path (address)" or "/path (address)".
	for library in $(ldd "$path" | grep -o '/[^ ]*'); do
		mkdir -p "$rootfs$(dirname "$library")"
		cp -L "$library" "$rootfs$library"
	done
done

# ssh asks for the name and the home of its user.
echo 'root:x:0:0:root:/root:/bin/false' >"$rootfs/etc/passwd"
echo 'root:x:0:' >"$rootfs/etc/group"
