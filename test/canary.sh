#!/bin/bash
# canary.sh [FLAG...] PACKAGE...   builds and vets the module with the newest release of
# every module that it requires, and tests the packages as go test does. Nothing in the tree
# changes: the newest versions are in a modfile of their own.
#
# The versions in go.mod are the lowest that are supported, and those of docker.
# Users may have any newer ones.
set -euo pipefail
cd "$(dirname "$0")/.."

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
modfile=$directory/newest.mod
cp go.mod "$modfile"
cp go.sum "$directory/newest.sum"

echo "== newest versions"
# Old requirements name a genproto from before it was split: with its parts
# there would be two of each package.
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
go test -modfile="$modfile" -timeout 15m "$@"
