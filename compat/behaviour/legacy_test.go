// SPDX-License-Identifier: Apache-2.0

package behaviour

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/docker/docker/pkg/plugingetter"
	"gotest.tools/v3/assert"
)

// legacySockets is where docker looks for plugins of the first generation.
const legacySockets = "/run/docker/plugins"

// late is after a look-up has begun, and long before docker gives it up.
const late = time.Second

// lateDriver is what the plugins of these scenarios implement. All scenarios see
// the host's legacy plugins, and none of the others asks for it.
const lateDriver = "LateDriver"

var legacyScenarios = []Scenario{
	{"legacy plugin that starts late", func(r *Run) {
		name := r.legacyName()
		r.Start()
		arrived := make(chan struct{})
		time.AfterFunc(late, func() {
			defer close(arrived)
			r.serveLegacy(name)
		})
		r.get("get", name, lateDriver, plugingetter.Lookup)
		r.get("get again", name, lateDriver, plugingetter.Acquire)
		r.get("of another capability", name, "NetworkDriver", plugingetter.Lookup)
		<-arrived
	}},
	{"legacy plugin that never starts", func(r *Run) {
		name := r.legacyName()
		r.Start()
		r.get("get", name, lateDriver, plugingetter.Lookup)
	}},
}

// legacyName returns a name that no other subject and scenario has.
func (r *Run) legacyName() string {
	name := strings.ToLower("dovetail-" + filepath.Base(r.Config.ExecRoot))
	r.Hide(name, "LEGACY")
	return name
}

// serveLegacy makes a plugin of the first generation.
func (r *Run) serveLegacy(name string) {
	assert.Check(r.t, os.MkdirAll(legacySockets, 0o755))
	listener, err := net.Listen("unix", filepath.Join(legacySockets, name+".sock"))
	if !assert.Check(r.t, err) {
		return
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"Implements":["`+lateDriver+`"]}`)
	})}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener)
	}()
	r.t.Cleanup(func() {
		assert.Check(r.t, server.Close(), fmt.Sprintf("end of %s", name))
		<-served
	})
}
