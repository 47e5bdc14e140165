#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The demo makes, starts, uses, stops and removes a plugin with the docker
# client. All files are in a temporary directory. It fails if a step does not
# have the expected result.
set -euo pipefail
cd "$(dirname "$0")/../.."
test/needs.sh runc curl make docker-registry

exec 2>&1 # errors appear at their step
work=$(mktemp -d "${TMPDIR:-/tmp}/demo.XXXXXX")
socket=$work/plugind.sock
registry=127.90.0.2:5000 # an address for this demo only; loopback needs no TLS
daemon=
registryd=

finish() {
	status=$?
	trap - EXIT
	if [ -n "$registryd" ]; then
		kill "$registryd" 2>/dev/null || true
	fi
	if [ -n "$daemon" ]; then
		kill "$daemon" 2>/dev/null || true
		wait "$daemon" || status=1
	fi
	if [ "$status" != 0 ]; then
		echo "demo: a step failed; the daemon's log:"
		cat "$work/log" || true
	fi
	rm -rf --one-file-system "$work"
	exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

# step runs a command and shows it.
step() {
	printf '\n$ %s\n' "$*"
	"$@"
}

# refused runs a command that must fail.
refused() {
	if step "$@"; then
		echo "demo: the command should have failed"
		return 1
	fi
	echo "(refused, as expected)"
}

# build builds the daemon, the example's build context and, if the machine has
# none, a docker client.
build() {
	mkdir "$work/bin"
	go build -o "$work/bin/plugind" ./cmd/plugind
	make --silent -C examples/volume CONTEXT="$work/context"
	command -v docker >/dev/null || (cd tools && go build -o "$work/bin/docker" ./docker)
}

# start starts the daemon and returns once it listens.
start() {
	mkfifo "$work/pipe"
	plugind --root "$work/root" --exec-root "$work/exec" --host "unix://$socket" 2>"$work/pipe" &
	daemon=$!
	exec 3<"$work/pipe"
	until [[ ${line:=} == *listening* ]]; do
		read -r line <&3 || return 1
		echo "$line" | tee -a "$work/log"
	done
	cat <&3 >>"$work/log" &
}

# serve_registry starts a registry and returns once it answers.
serve_registry() {
	cat >"$work/registry.yml" <<-END
		version: 0.1
		log:
		  level: error
		storage:
		  filesystem:
		    rootdirectory: $work/registry
		http:
		  addr: $registry
	END
	docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
	registryd=$!
	curl --silent --fail --retry 60 --retry-delay 1 --retry-connrefused "http://$registry/v2/" >/dev/null
}

# on_volume VERB makes plugind mount or unmount the volume, in place of a
# container.
on_volume() {
	step curl --silent --show-error --fail-with-body --unix-socket "$socket" --request POST "http://plugind/volumes/data/$1"
}

echo "building"
build
export PATH=$work/bin:$PATH DOCKER_HOST=unix://$socket DOCKER_CONFIG=$work/config
echo "docker is $(command -v docker), $(docker --version)"
start

cd "$work"
step docker plugin create example/volume context
step docker plugin ls
step docker plugin inspect --format '{{json .Settings}}' example/volume
step docker plugin set example/volume DEBUG=1
step docker plugin enable example/volume
step docker plugin ls

step docker volume create --driver example/volume data
step docker volume ls
answer=$(on_volume mount)
echo "$answer"
answer=${answer##*$'\n'}
mountpoint=$(sed -n 's/.*"Mountpoint":"\([^"]*\)".*/\1/p' <<<"$answer")
step grep "$mountpoint" /proc/self/mountinfo
step bash -c "echo 'hello from the host' >$mountpoint/greeting"
on_volume unmount
refused cat "$mountpoint/greeting"
on_volume mount
step cat "$mountpoint/greeting"

refused docker plugin disable example/volume
refused docker volume rm data
on_volume unmount
step docker volume rm data
step docker plugin disable example/volume
step docker plugin rm example/volume

serve_registry
step docker plugin create "$registry/example/volume:v1" context
step docker plugin push "$registry/example/volume:v1"
step docker plugin rm "$registry/example/volume:v1"
step bash -c "echo y | docker plugin install --alias volume $registry/example/volume:v1 DEBUG=1"
step docker plugin ls
sed -i 's/Example volume driver/Better volume driver/' context/config.json
step docker plugin create "$registry/example/volume:v2" context
step docker plugin push "$registry/example/volume:v2"
step docker plugin disable volume
step docker plugin upgrade --grant-all-permissions --skip-remote-check volume "$registry/example/volume:v2"
step docker plugin inspect --format '{{.PluginReference}} {{.Config.Description}} {{.Settings.Env}}' volume
step docker plugin enable volume
step docker plugin rm --force volume "$registry/example/volume:v2"

step docker plugin ls
[ -z "$(docker plugin ls --quiet)" ]
echo
echo "Demo finished."
