// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dockerd

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// world is the set of programs that a story uses.
type world struct {
	daemon  string // which "daemon start" starts
	dockerd *exec.Cmd
	flags   []string    // of all its daemons
	others  []*exec.Cmd // containerd and the registry
	nodes   []*node
}

const (
	containerdSocket = "/run/containerd/containerd.sock"
	dockerSocket     = "/run/docker.sock"
)

// begin starts what daemons need, and makes an image and the plugins' contexts.
func (w *world) begin() error {
	if err := w.beginContainerd(); err != nil {
		return err
	}
	if err := w.beginRegistry(); err != nil {
		return err
	}
	if err := makeImage(); err != nil {
		return err
	}
	if err := makeTools(); err != nil {
		return err
	}
	return makeContexts()
}

func (w *world) beginContainerd() error {
	config := `version = 2
root = "/tmp/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[debug]
level = "warn"
[grpc]
address = "` + containerdSocket + `"
`
	if err := os.WriteFile("/run/containerd.toml", []byte(config), 0o600); err != nil {
		return err
	}
	if err := w.spawn("containerd", "containerd", "--config", "/run/containerd.toml"); err != nil {
		return err
	}
	return await("ctr --address " + containerdSocket + " version")
}

func (w *world) beginRegistry() error {
	config := `version: 0.1
storage: {filesystem: {rootdirectory: /tmp/registry}, delete: {enabled: true}}
http: {addr: ":5000"}
log: {level: error}
`
	if err := os.WriteFile("/run/registry.yml", []byte(config), 0o600); err != nil {
		return err
	}
	if err := w.spawn("registry", "docker-registry", "serve", "/run/registry.yml"); err != nil {
		return err
	}
	return await("curl -sf http://127.0.0.1:5000/v2/")
}

// spawn starts a program that ends with the world.
func (w *world) spawn(name string, arguments ...string) error {
	command, err := start(name, arguments...)
	if err == nil {
		w.others = append(w.others, command)
	}
	return err
}

// start runs a program in the background, with a log in /run.
func start(name string, arguments ...string) (*exec.Cmd, error) {
	log, err := os.OpenFile("/run/"+name+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	command := exec.Command(arguments[0], arguments[1:]...)
	command.Stdout, command.Stderr = log, log
	command.Dir = "/"
	if err := command.Start(); err != nil {
		return nil, err
	}
	return command, os.WriteFile("/run/"+name+".pid", []byte(strconv.Itoa(command.Process.Pid)), 0o600)
}

// control runs a command of the harness.
func (w *world) control(line string) error {
	words := strings.Fields(line)
	if len(words) == 0 {
		return errors.New("say start, stop or kill")
	}
	switch words[0] {
	case "start":
		which := w.daemon
		if len(words) > 1 && !strings.HasPrefix(words[1], "-") {
			which, words = words[1], words[1:]
		}
		return w.startDaemon(which, words[1:])
	case "stop":
		return w.endDaemon(syscall.SIGTERM)
	case "kill":
		return w.endDaemon(syscall.SIGKILL)
	}
	return fmt.Errorf("%q is not a command for a daemon", words[0])
}

// startDaemon starts dockerd and waits until it answers.
func (w *world) startDaemon(which string, flags []string) error {
	if err := w.launch(which, flags...); err != nil {
		return err
	}
	return await("docker version")
}

// launch starts dockerd.
func (w *world) launch(which string, flags ...string) error {
	arguments := append([]string{
		filepath.Join(programs, which+"-bin", "dockerd"), "--containerd", containerdSocket,
		"--data-root", "/tmp/docker", "--host", "unix://" + dockerSocket,
	}, append(w.flags, flags...)...)
	var err error
	w.dockerd, err = start("dockerd", arguments...)
	return err
}

// endDaemon returns when dockerd has ended.
func (w *world) endDaemon(signal syscall.Signal) error {
	if w.dockerd == nil {
		return errors.New("no daemon runs")
	}
	if err := w.dockerd.Process.Signal(signal); err != nil {
		return err
	}
	err := w.dockerd.Wait()
	w.dockerd = nil
	if signal == syscall.SIGKILL {
		return nil // which is the error of Wait
	}
	return err
}

// end stops what was started. Containers and plugins that are left die with the
// pid namespace.
func (w *world) end() {
	for _, n := range w.nodes {
		n.end()
	}
	if w.dockerd != nil {
		_ = w.endDaemon(syscall.SIGTERM)
	}
	for _, command := range w.others {
		_ = command.Process.Kill()
		_ = command.Wait()
	}
}

// logs returns the ends of all logs as an error.
func (w *world) logs() error {
	const most = 6000 // enough for the cause, few enough to read
	var texts []error
	for _, name := range []string{"dockerd", "containerd"} {
		data, err := os.ReadFile("/run/" + name + ".log")
		if err == nil {
			texts = append(texts, fmt.Errorf("%s:\n%s", name, data[max(0, len(data)-most):]))
		}
	}
	return errors.Join(texts...)
}

// tools are programs that stories use, by their name in testdata/tools.
//
//go:embed testdata/tools
var tools embed.FS

// makeTools puts the tools into the directory of the story's commands.
func makeTools() error {
	return fs.WalkDir(tools, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := tools.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(work, filepath.Base(path)), text, 0o755)
	})
}

// makeImage makes a root file system of Debian's busybox, for docker import.
func makeImage() error {
	_, code, err := shell(`mkdir -p image/bin image/tmp image/etc && cp "$(command -v busybox)" image/bin/busybox &&
		for tool in sh sleep cat echo ping ls seq true date; do ln -s busybox image/bin/$tool; done`)
	if err == nil && code != 0 {
		err = errors.New("busybox is missing")
	}
	return err
}

// plugin is what a plugin's config asks for.
type plugin map[string]any

// makeContexts makes a build context for each plugin, with the plugin's name.
func makeContexts() error {
	for name, change := range map[string]func(plugin){
		"volume": func(p plugin) {
			p["propagatedMount"] = "/data"
			p["linux"] = map[string]any{"capabilities": []string{"CAP_SYS_ADMIN"}}
		},
		"log":   func(plugin) {},
		"authz": func(plugin) {},
		"network": func(p plugin) {
			p["network"] = map[string]string{"type": "host"}
			p["linux"] = map[string]any{"capabilities": []string{"CAP_NET_ADMIN"}}
		},
		"metrics": func(plugin) {},
	} {
		if err := makeContext(name, change); err != nil {
			return fmt.Errorf("make plugin %s: %w", name, err)
		}
	}
	return nil
}

var interfaces = map[string]string{
	"volume": "docker.volumedriver/1.0", "log": "docker.logdriver/1.0", "authz": "docker.authz/1.0",
	"network": "docker.networkdriver/1.0", "metrics": "docker.metricscollector/1.0",
}

func makeContext(name string, change func(plugin)) error {
	config := plugin{
		"description": "plugin of the story", "entrypoint": []string{"/plugin", name},
		"interface": map[string]any{"types": []string{interfaces[name]}, "socket": "plugin.sock"},
		"network":   map[string]string{"type": "none"},
		"env":       []map[string]any{{"name": "VERSION", "value": "1", "settable": []string{"value"}}},
	}
	change(config)
	encoded, err := json.Marshal(config)
	if err != nil {
		return err
	}
	directory := filepath.Join(work, name)
	if err := os.MkdirAll(filepath.Join(directory, "rootfs"), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(directory, "config.json"), encoded, 0o644); err != nil {
		return err
	}
	// Stock refuses content that it has in another plugin.
	script := "cp " + programs + "/plugins " + name + "/rootfs/plugin && echo " + name + " > " + name + "/rootfs/kind"
	if name == "network" { // it runs ip, with the libraries of it
		script += ` && cd network/rootfs && mkdir -p sbin && cp "$(command -v ip)" sbin/ip &&
			for library in $(ldd "$(command -v ip)" | grep -o '/[^ ]*'); do mkdir -p .$(dirname $library) && cp -L $library .$library; done`
	}
	output, code, err := shell(script)
	if err == nil && code != 0 {
		err = errors.New(output)
	}
	return err
}
