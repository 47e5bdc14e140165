package v2

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/errdefs"
	"gotest.tools/v3/assert"
)

func TestErrorClassesAndMessages(t *testing.T) {
	classes := map[string]func(error) bool{
		"conflict":          cerrdefs.IsConflict,
		"invalid parameter": cerrdefs.IsInvalidArgument,
		"system":            cerrdefs.IsInternal,
		"not found":         cerrdefs.IsNotFound,
		"unavailable":       cerrdefs.IsUnavailable,
	}
	dockers := map[string]func(error) bool{
		"conflict":          errdefs.IsConflict,
		"invalid parameter": errdefs.IsInvalidParameter,
		"system":            errdefs.IsSystem,
		"not found":         errdefs.IsNotFound,
		"unavailable":       errdefs.IsUnavailable,
	}
	tests := []struct {
		err     error
		class   string
		message string
	}{
		{ErrInadequateCapability{capability: "VolumeDriver"}, "", `plugin does not provide "volumedriver" capability`},
		{ErrDisabled{Name: "example"}, "conflict", `plugin example found but disabled`},
		{ErrInUse{Name: "example"}, "conflict", `plugin example is in use`},
		{
			ErrInvalidSetting{Setting: "A", Reason: "is not settable"}, "invalid parameter",
			`"A" is not settable (settable in this plugin: nothing)`,
		},
		{
			ErrInvalidSetting{Setting: "A", Reason: "is not settable", Settable: []string{"B", "m.source"}}, "invalid parameter",
			`"A" is not settable (settable in this plugin: B, m.source)`,
		},
		{
			ErrInvalidSpec{Name: "example", Reason: "it has no rootfs"}, "invalid parameter",
			`make spec of plugin "example": it has no rootfs`,
		},
		{
			ErrInvalidSpec{Name: "example", Reason: `device "d"`, Err: fs.ErrNotExist}, "invalid parameter",
			`make spec of plugin "example": device "d": file does not exist`,
		},
		{ErrInvalidConfig{Err: fs.ErrNotExist}, "invalid parameter", `invalid plugin config: file does not exist`},
		{ErrConfigProblem{Field: "network.type", Value: "x", Reason: "is not known"}, "invalid parameter", `network.type "x" is not known`},
		{ErrInvalidRecord{Err: fs.ErrNotExist}, "system", `read plugin record: file does not exist`},
		{
			ErrNoAnswer{Subject: `device "d"`, Path: "/a/b", Mountpoint: "/a", FileSystem: "nfs4"}, "unavailable",
			`device "d": look at /a/b: the file system at /a, of type nfs4, does not answer: bring its server back, or unmount it`,
		},
		{ErrNoAnswer{Path: "/a"}, "unavailable", `look at /a: there is too much to look at in time`},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%T %s", tt.err, tt.class), func(t *testing.T) {
			assert.Error(t, tt.err, tt.message)
			wrapped := fmt.Errorf("enable: %w", tt.err)
			for class := range classes {
				assert.Equal(t, classes[class](wrapped), class == tt.class, class)
				assert.Equal(t, dockers[class](wrapped), class == tt.class, class)
			}
		})
	}
}

func TestErrorsUnwrap(t *testing.T) {
	for _, err := range []error{
		ErrInvalidSpec{Err: fs.ErrNotExist},
		ErrInvalidConfig{Err: fs.ErrNotExist},
		ErrInvalidRecord{Err: fs.ErrNotExist},
	} {
		assert.Check(t, errors.Is(err, fs.ErrNotExist), "%T", err)
	}
}
