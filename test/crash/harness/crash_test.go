// SPDX-License-Identifier: Apache-2.0

//go:build linux

package harness

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/test/crash/history"
)

// creating is a driver that creates p, fails to set it, and then collects
// unless -step is set. An observer finds q.
const creating = `
case "$*" in *-observe*)
	echo '{"Plugins":{"q":{"Installed":true,"Debug":"0","Version":"v1"}},"Problems":["litter"]}'
	exit ;;
esac
echo created >here
echo '{"Verb":"create","Name":"p","Value":"v1","At":1}'
echo '{"Verb":"create","Name":"p","Value":"v1","Ended":true,"At":2}'
echo '{"Verb":"set","Name":"p","Value":"7","Ended":false,"At":3}'
echo '{"Verb":"set","Name":"p","Value":"7","Ended":true,"Class":"unexpected","At":4}'
case "$*" in *-step*) cat >/dev/null; exit ;; esac
for i in $(seq 40); do
	echo '{"Verb":"collect","At":5}'
	echo '{"Verb":"collect","Ended":true,"At":6}'
done
exec sleep 1000`

func TestCrashAndFinish(t *testing.T) {
	d := driverOf(t, creating)
	d.Dir = t.TempDir()
	for _, end := range []func() (Crash, error){
		func() (Crash, error) { return d.Finish(1, 5, nil) },
		func() (Crash, error) {
			process, err := d.Start(1, nil)
			assert.NilError(t, err)
			process.Await(84)
			ledger, err := process.Kill()
			return d.survey(ledger, err)
		},
	} {
		crash, err := end()
		assert.NilError(t, err)
		assert.Equal(t, len(crash.Lost()), 2, "p is missing, and q appeared: %q", crash.Lost())
		assert.Equal(t, len(crash.Violations()), 2, "a wrong answer, and litter: %q", crash.Violations())
		var figures Figures
		figures.Add(crash)
		assert.Check(t, is.Regexp("^1 crashes, (1|41) operations acknowledged, 2 lost, 2 violations$", figures.String()))
	}
	_, err := os.Stat(filepath.Join(d.Dir, "here"))
	assert.NilError(t, err, "the driver worked elsewhere")

	crash, err := d.Crash(1, rand.New(rand.NewPCG(1, 3)), map[string]history.State{"q": {Installed: true, Debug: "0", Version: "v1"}})
	assert.NilError(t, err)
	assert.DeepEqual(t, crash.Observed.Problems, []string{"litter"})
}

func TestCrashThatCannotBeJudged(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	d := driverOf(t, `case "$*" in *-observe*) echo '{"Error":"a record is half there"}'; exit ;; esac; exec sleep 1000`)
	var unopened *OpenError
	_, err := d.survey(history.NewLedger(nil), nil)
	assert.Assert(t, errors.As(err, &unopened), "%v", err)
	assert.Equal(t, unopened.Reason, "a record is half there")

	_, err = driverOf(t, "exit 3").Crash(1, random, nil)
	assert.ErrorContains(t, err, "driver ended by itself")
	_, err = driverOf(t, "echo 'no disk' >&2; exit 3").Finish(1, 2, nil)
	assert.ErrorContains(t, err, "end driver: exit status 3\nno disk")
	for _, start := range []func(Driver) error{
		func(d Driver) error { _, err := d.Crash(1, random, nil); return err },
		func(d Driver) error { _, err := d.Finish(1, 1, nil); return err },
	} {
		assert.ErrorContains(t, start(Driver{Binary: "/nowhere"}), "start driver")
	}
}
