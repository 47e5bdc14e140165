// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dockerd

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

var (
	rounds  = flag.Int("rounds", 1, "how often to measure the daemons")
	publish = flag.String("publish", "", "`directory` of docs whose performance.md gets the figures")
)

// TestFigures measures both daemons in turns, with up to ten plugins, which have to
// answer after a restart.
func TestFigures(t *testing.T) {
	built := theBuild(t)
	all := storyRun{Rounds: *rounds}.run(t, built).Figures
	text := table(all, circumstances(*rounds))
	t.Log("\n" + text)
	if *publish == "" {
		return
	}
	if err := publishSection(*publish+"/performance.md", text); err != nil {
		t.Fatal(err)
	}
}

// figures are measured values, in seconds or bytes, by measurement and daemon.
type figures map[string]map[string][]float64

func (f figures) add(measurement, daemon string, value float64) {
	if f[measurement] == nil {
		f[measurement] = map[string][]float64{}
	}
	f[measurement][daemon] = append(f[measurement][daemon], value)
}

// manyPlugins is how many plugins the daemon with the most has.
const manyPlugins = 10

// measure runs the daemons in turns, each in a root of its own.
func measure(rounds int) (figures, error) {
	if err := furnish("dovetail", map[string]string{programs: os.Getenv("DOVETAIL_PROGRAMS")}); err != nil {
		return nil, err
	}
	w := &world{}
	defer w.end()
	if err := w.begin(); err != nil {
		return nil, err
	}
	all := figures{}
	for _, which := range []string{"stock", "dovetail"} {
		info, err := os.Stat(programs + "/" + which + "-bin/dockerd")
		if err != nil {
			return nil, err
		}
		all.add(sizeOfProgram, which, float64(info.Size()))
	}
	if err := w.pushMany(); err != nil {
		return nil, fmt.Errorf("%w\n%w", err, w.logs())
	}
	for i := range rounds {
		turns := []string{"stock", "dovetail"}
		if i%2 == 1 {
			turns = []string{"dovetail", "stock"}
		}
		for _, which := range turns {
			m := measured{w, all, which}
			if err := m.round(); err != nil {
				return nil, fmt.Errorf("measure %s: %w\n%w", which, err, w.logs())
			}
		}
	}
	return all, nil
}

// pushMany puts the plugins into the registry.
func (w *world) pushMany() error {
	if err := w.startDaemon("stock", nil); err != nil {
		return err
	}
	for i := range manyPlugins {
		name := nameOf(i)
		err := succeed(fmt.Sprintf("echo %d > volume/rootfs/number && docker plugin create %s volume && docker plugin push %s >/dev/null && docker plugin rm %s", i, name, name, name))
		if err != nil {
			return err
		}
	}
	return w.endDaemon(syscall.SIGTERM)
}

func nameOf(i int) string { return fmt.Sprintf("127.0.0.1:5000/dovetail/volume:%d", i) }

// measured is a daemon that is measured.
type measured struct {
	w     *world
	all   figures
	which string
}

// round measures an empty daemon, one with a plugin, and one with many.
func (m measured) round() error {
	if err := m.lifetime(0, 1, func() error { return m.install(0, 1) }); err != nil {
		return err
	}
	if err := m.lifetime(1, manyPlugins, func() error { return m.install(1, manyPlugins) }); err != nil {
		return err
	}
	return m.lifetime(manyPlugins, 0, m.remove)
}

// lifetime measures the start, the first list of volumes and the memory of a daemon
// that has plugins, and its stop with as many as change leaves.
func (m measured) lifetime(before, after int, change func() error) error {
	if err := m.start(before); err != nil {
		return err
	}
	if err := m.timed("first list of volumes", before, func() error { return engine(http.MethodGet, "/volumes", "") }); err != nil {
		return err
	}
	resident, err := residentBytes(m.w.dockerd.Process.Pid)
	if err != nil {
		return err
	}
	m.all.add(counted("memory", before), m.which, resident)
	if err := use(before); err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	return m.timed("stop", after, func() error { return m.w.endDaemon(syscall.SIGTERM) })
}

func (m measured) start(plugins int) error {
	return m.timed("start", plugins, func() error {
		if err := m.w.launch(m.which, "--data-root", "/tmp/docker-"+m.which); err != nil {
			return err
		}
		return answering()
	})
}

// install installs the plugins of a range, and enables them.
func (m measured) install(from, to int) error {
	for i := from; i < to; i++ {
		name := nameOf(i)
		granted, err := ask(http.MethodGet, "/plugins/privileges?remote="+name, "")
		if err != nil {
			return err
		}
		err = m.timed("install", -1, func() error { return engine(http.MethodPost, "/plugins/pull?remote="+name+"&name="+name, granted) })
		if err != nil {
			return err
		}
		if err := m.timed("enable", -1, func() error { return engine(http.MethodPost, "/plugins/"+name+"/enable?timeout=30", "") }); err != nil {
			return err
		}
	}
	return nil
}

func (m measured) remove() error {
	for i := range manyPlugins {
		if err := engine(http.MethodDelete, "/plugins/"+nameOf(i)+"?force=1", ""); err != nil {
			return err
		}
	}
	return nil
}

// use makes and removes a volume of each plugin.
func use(plugins int) error {
	for i := range plugins {
		err := createVolume(fmt.Sprintf(`{"Name": "volume%d", "Driver": %q}`, i, nameOf(i)))
		if err == nil {
			err = engine(http.MethodDelete, fmt.Sprintf("/volumes/volume%d", i), "")
		}
		if err != nil {
			return fmt.Errorf("plugin %d after a start: %w", i, err)
		}
	}
	return nil
}

// createVolume repeats a request for a plugin that is not available yet: a busy machine
// takes longer to start ten plugins than a request waits for one.
func createVolume(volume string) error {
	limit := time.Now().Add(time.Minute)
	for {
		err := engine(http.MethodPost, "/volumes/create", volume)
		if err == nil || time.Now().After(limit) || !strings.Contains(err.Error(), "503 Service Unavailable") {
			return err
		}
	}
}

// timed measures what takes place with a number of plugins. With -1 the number is
// not part of the measurement.
func (m measured) timed(what string, plugins int, do func() error) error {
	begin := time.Now()
	err := do()
	m.all.add(counted(what, plugins), m.which, time.Since(begin).Seconds())
	if err != nil {
		return fmt.Errorf("%s: %w", counted(what, plugins), err)
	}
	return nil
}

func counted(what string, plugins int) string {
	switch plugins {
	case -1:
		return what
	case 1:
		return what + ", 1 plugin"
	}
	return fmt.Sprintf("%s, %d plugins", what, plugins)
}

// client calls the daemon.
var client = &http.Client{Timeout: commandLimit, Transport: &http.Transport{
	DisableKeepAlives: true, // the next call may be another daemon's
	DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", dockerSocket)
	},
}}

// engine calls the Engine API and reads the whole answer.
func engine(method, path, body string) error {
	_, err := ask(method, path, body)
	return err
}

// ask is the same, and returns the answer.
func ask(method, path, body string) (string, error) {
	request, err := http.NewRequest(method, "http://engine"+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && (response.StatusCode >= http.StatusBadRequest || strings.Contains(string(answer), `"errorDetail"`)) {
		err = fmt.Errorf("%s %s: %s: %s", method, path, response.Status, answer)
	}
	return string(answer), err
}

// answering returns when the daemon answers. Its socket gives no other sign.
func answering() error {
	const pause = 2 * time.Millisecond // few against the start of a daemon
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	deadline := time.Now().Add(commandLimit)
	for {
		err := engine(http.MethodGet, "/_ping", "")
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the daemon does not answer: %w", err)
		}
		<-ticker.C
	}
}

// residentBytes returns the memory of a process.
func residentBytes(pid int) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	var kilobytes float64
	if _, err := fmt.Sscanf(rest, "%f kB", &kilobytes); err != nil {
		return 0, fmt.Errorf("read the memory of process %d: %w", pid, err)
	}
	return kilobytes * 1024, nil
}
