# Functions for scenarios; see doc.go.
# SPDX-License-Identifier: Apache-2.0

# api METHOD PATH sends a request to plugind without the docker client.
api() {
	curl --silent --show-error --unix-socket "$SOCKET" --request "$1" "http://plugind$2"
}

# mount_volume VOLUME mounts it and prints the path on the host. After an error
# it prints the error to stderr, and a path that does not exist.
mount_volume() {
	answer=$(api POST "/volumes/$1/mount")
	case $answer in
	*Mountpoint*) echo "$answer" | sed 's/.*"Mountpoint":"\([^"]*\)".*/\1/' ;;
	*) echo "$answer" >&2 && echo "$WORK/not-mounted" ;;
	esac
}

# unmount_volume VOLUME unmounts it.
unmount_volume() {
	api POST "/volumes/$1/unmount"
}

# events prints past events, one on each line.
events() {
	docker events --since 1h --until "$(date +%s.%N)" --format '{{.Type}} {{.Action}} {{with .Actor.Attributes.name}}{{.}}{{else}}{{.Actor.ID}}{{end}}' "$@"
}

# create_as_is NAME DIRECTORY sends a build context, also one that the docker
# client refuses to send.
create_as_is() {
	tar --create --directory "$2" . |
		curl --silent --show-error --unix-socket "$SOCKET" --header 'Content-Type: application/x-tar' \
			--data-binary @- "http://plugind/plugins/create?name=$1"
}

# start_containerd starts a containerd with its socket at $WORK/c.
start_containerd() {
	cat >containerd.toml <<-END
		version = 2
		root = "$WORK/containerd"
		state = "$WORK/containerd-state"
		disabled_plugins = ["io.containerd.grpc.v1.cri"]
		[grpc]
		address = "$WORK/c"
	END
	containerd --config containerd.toml >containerd.log 2>&1 &
	echo $! >containerd.pid
}

# stop_containerd ends it and waits for its end.
stop_containerd() {
	pid=$(cat containerd.pid)
	kill "$pid" && tail --pid="$pid" --follow /dev/null
}

# start_registry starts a registry on a loopback address, which needs no TLS and
# which no other test uses.
start_registry() {
	cat >registry.yml <<-END
		version: 0.1
		log:
		  level: error
		storage:
		  filesystem:
		    rootdirectory: $WORK/registry
		http:
		  addr: 127.90.0.1:5000
	END
	docker-registry serve registry.yml >registry.log 2>&1 &
	echo $! >registry.pid
	curl --silent --retry 60 --retry-delay 1 --retry-connrefused http://127.90.0.1:5000/v2/ >registry.answer
}

# stop_registry ends it and waits for its end.
stop_registry() {
	pid=$(cat registry.pid)
	kill "$pid" && tail --pid="$pid" --follow /dev/null
}

# start_sshd starts an ssh server on the loopback address of the registry. It allows the
# keys in ssh/authorized_keys, and has the directory remote.
start_sshd() {
	mkdir ssh remote
	mkdir -p /run/sshd # where sshd drops its rights
	ssh-keygen -q -t ed25519 -N '' -f ssh/host
	cat >ssh/config <<-END
		ListenAddress 127.90.0.1:2222
		HostKey $WORK/ssh/host
		AuthorizedKeysFile $WORK/ssh/authorized_keys
		StrictModes no
		PasswordAuthentication no
		KbdInteractiveAuthentication no
		PidFile none
		Subsystem sftp internal-sftp
	END
	mkfifo ssh/lines
	"$(command -v sshd)" -D -e -f ssh/config >/dev/null 2>ssh/lines &
	echo $! >ssh/pid
	{
		read -r _ # it listens
		cat >ssh/log 2>&1 &
	} <ssh/lines
}

# stop_sshd ends it and waits for its end.
stop_sshd() {
	pid=$(cat ssh/pid)
	kill "$pid" && tail --pid="$pid" --follow /dev/null
}
