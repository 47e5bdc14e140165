#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# skips.sh COMMAND...   runs a command, and prints one line about the tests that
# internal/testenv skipped in it: how many, and why. As root it fails if there were
# any: root lacks nothing that make deps can't install.
set -u
DOVETAIL_SKIPS=$(mktemp) || exit 1
export DOVETAIL_SKIPS
trap 'rm -f "$DOVETAIL_SKIPS"' EXIT

"$@"
status=$?

# A line is a reason, a tab, and the name of a test.
sort -u "$DOVETAIL_SKIPS" | cut -f1 | uniq -c | awk '
	{ total += $1; count = $1; sub(/^ *[0-9]+ /, ""); reasons = reasons (NR > 1 ? "; " : "") $0 ": " count }
	END { print "skipped: " total + 0 (total ? " (" reasons ")" : "") }'

if [ -s "$DOVETAIL_SKIPS" ] && [ "$(id -u)" = 0 ]; then
	echo "$0: nothing may be skipped as root:" >&2
	sort -u "$DOVETAIL_SKIPS" >&2
	[ "$status" != 0 ] || status=1
fi
exit "$status"
