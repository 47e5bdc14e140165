#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# canary.sh [FLAG...] PACKAGE...   builds and vets the module with the newest release of
# every required module, and passes the arguments to go test. Nothing in the tree changes: the
# newest versions are in a separate modfile.
#
# The versions in go.mod are docker's, and the lowest supported ones. Users can
# have any newer versions.
set -euo pipefail
cd "$(dirname "$0")/.."

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
modfile=$directory/newest.mod
cp go.mod "$modfile"
cp go.sum "$directory/newest.sum"

echo "== newest versions"
# Old requirements name a genproto from before it was split. Together with its
# parts each package would exist twice.
go get -modfile="$modfile" google.golang.org/genproto@latest 2>"$directory/log" &&
	go get -modfile="$modfile" -u -t ./... 2>>"$directory/log" &&
	go mod tidy -modfile="$modfile" 2>>"$directory/log" || {
	cat "$directory/log" >&2
	exit 1
}
for module in github.com/containerd/containerd/v2 github.com/opencontainers/runtime-spec; do
	go list -modfile="$modfile" -m "$module"
done

echo "== go build and go vet"
go build -modfile="$modfile" ./...
go vet -modfile="$modfile" ./...

echo "== go test $*"
go test -vet=off -modfile="$modfile" -timeout 15m "$@"
