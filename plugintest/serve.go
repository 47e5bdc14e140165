// SPDX-License-Identifier: Apache-2.0

package plugintest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/dovetailhq/plugin/internal/class"
	"github.com/dovetailhq/plugin/internal/socketpath"
)

const (
	// socketDirectory is where managed plugins make their sockets.
	socketDirectory = "/run/docker/plugins"
	defaultSocket   = "plugin.sock"

	contentType = "application/vnd.docker.plugins.v1.2+json"
)

// prepare returns the program of the run. A plugin that listens at once is listening
// when prepare returns.
func (r *Run) prepare() (Program, error) {
	b := r.behaviour
	switch {
	case b.Program != nil:
		return b.Program, nil
	case b.EndsAtOnce != nil:
		return lastWords, nil
	case b.NeverListens:
		return func(r *Run) int { r.await(nil); return 0 }, nil
	case b.ListenAfter != nil:
		return listenLater, nil
	}
	s, err := r.listen()
	if err != nil {
		return nil, err
	}
	return s.serve, nil
}

func lastWords(r *Run) int {
	fmt.Fprint(r.Stdout, r.behaviour.EndsAtOnce.Stdout)
	fmt.Fprint(r.Stderr, r.behaviour.EndsAtOnce.Stderr)
	return r.behaviour.EndsAtOnce.Code
}

func listenLater(r *Run) int {
	if ended := r.await(r.behaviour.ListenAfter); ended {
		return 0
	}
	s, err := r.listen()
	if err != nil {
		fmt.Fprintln(r.Stderr, err)
		return 1
	}
	return s.serve(r)
}

// await waits for event or the end of the run, and reports whether the run ended.
func (r *Run) await(event <-chan struct{}) (ended bool) {
	for {
		select {
		case <-event:
			return false
		case <-r.killed:
			return true
		case signal := <-r.signals:
			if signal == syscall.SIGTERM && !r.behaviour.IgnoresSIGTERM {
				return true
			}
		}
	}
}

// server is a plugin that answers calls on its socket.
type server struct {
	directory *socketpath.Directory
	listener  *net.UnixListener
	http      *http.Server
	served    chan struct{}
}

func (r *Run) listen() (*server, error) {
	directory, name, err := r.socket()
	if err != nil {
		return nil, err
	}
	s := &server{
		directory: socketpath.New(directory),
		http:      &http.Server{Handler: r.handler()},
		served:    make(chan struct{}),
	}
	if s.listener, err = listenBelow(s.directory, name); err != nil {
		return nil, errors.Join(err, s.directory.Close())
	}
	go func() {
		defer close(s.served)
		_ = s.http.Serve(s.listener)
	}()
	return s, nil
}

func listenBelow(directory *socketpath.Directory, name string) (*net.UnixListener, error) {
	path, err := directory.Path(name)
	if err != nil {
		return nil, class.InvalidParameter(fmt.Errorf("listen: %w", err))
	}
	if filepath.Base(name) != name {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
	}
	// Like most plugins, remove the socket of an earlier run.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
}

// serve answers calls until the run ends. A run that ends by SIGTERM removes its
// socket.
func (s *server) serve(r *Run) int {
	r.await(nil)
	select {
	case <-r.killed:
		s.listener.SetUnlinkOnClose(false)
	default:
	}
	s.http.Close()
	<-s.served
	_ = s.directory.Close() // nothing was written through it
	return 0
}

// socket returns the directory and the name of the plugin's socket.
func (r *Run) socket() (directory, name string, err error) {
	name = r.behaviour.Socket
	if name == "" {
		name = defaultSocket
	}
	directory, ok := mountSource(r.Spec, socketDirectory)
	if !ok {
		return "", "", class.InvalidParameter(fmt.Errorf("find socket directory: the spec mounts nothing at %s", socketDirectory))
	}
	return directory, name, nil
}

func mountSource(spec specs.Spec, destination string) (source string, ok bool) {
	for _, mount := range spec.Mounts {
		if mount.Destination == destination {
			source, ok = mount.Source, true
		}
	}
	return source, ok
}

func (r *Run) handler() http.Handler {
	if r.behaviour.Handler != nil {
		return r.behaviour.Handler
	}
	implements := r.behaviour.Implements
	if implements == nil {
		implements = []string{"VolumeDriver"}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/Plugin.Activate", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_ = json.NewEncoder(w).Encode(map[string][]string{"Implements": implements})
	})
	return mux
}
