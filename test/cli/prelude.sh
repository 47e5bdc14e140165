# Functions for scenarios; see doc.go.

# api METHOD PATH asks plugind without the docker client.
api() {
	curl --silent --show-error --unix-socket "$SOCKET" --request "$1" "http://plugind$2"
}

# mount_volume VOLUME mounts it and prints the path on the host.
mount_volume() {
	api POST "/volumes/$1/mount" | sed -n 's/.*"Mountpoint":"\([^"]*\)".*/\1/p'
}

# unmount_volume VOLUME undoes it.
unmount_volume() {
	api POST "/volumes/$1/unmount"
}

# events prints what happened so far, one line each.
events() {
	docker events --since 1h --until "$(date +%s.%N)" --format '{{.Type}} {{.Action}} {{with .Actor.Attributes.name}}{{.}}{{else}}{{.Actor.ID}}{{end}}' "$@"
}
