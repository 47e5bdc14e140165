#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# needs.sh COMMAND...   ensures that the commands exist. On Debian and Ubuntu it
# installs missing ones, elsewhere it prints them in one line. It also reports
# missing Linux, root or Go.
set -eu

missing() {
	echo "$0: $*" >&2
	exit 1
}

# package COMMAND prints the Debian packages with it.
package() {
	case $1 in
	gcc) echo gcc libc6-dev ;;
	busybox) echo busybox-static ;;
	docker) echo docker.io ;;
	ip) echo iproute2 ;;
	mkfs.ext4) echo e2fsprogs ;;
	mkfs.xfs) echo xfsprogs ;;
	sshd) echo openssh-server ;;
	*) echo "$1" ;;
	esac
}

[ "$(uname -s)" = Linux ] || missing "plugins run on Linux; this is $(uname -s)"
[ "$(id -u)" = 0 ] || missing "plugins are run by root; try sudo"
command -v go >/dev/null || missing "Go is missing: see https://go.dev/doc/install"

PATH=$PATH:/usr/sbin:/sbin
absent=
for command in "$@"; do
	command -v "$command" >/dev/null || absent="$absent $(package "$command")"
done
[ -n "$absent" ] || exit 0
command -v apt-get >/dev/null || missing "please install:$absent"

echo "installing:$absent"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086 # split into packages
if ! { apt-get update && apt-get install --yes --no-install-recommends $absent; } >"$log" 2>&1; then
	cat "$log" >&2
	missing "apt-get could not install:$absent"
fi
