// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"errors"
	"reflect"
	"testing"

	"github.com/containerd/errdefs"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/remote"
	"github.com/dovetailhq/plugin/internal/rootfs"
)

// Each field of Limits is checked, and passed on to where it is held to.
func TestLimitsFields(t *testing.T) {
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Limits]()) {
		t.Run(field.Name, func(t *testing.T) {
			var limits Limits
			value := reflect.ValueOf(&limits).Elem().FieldByIndex(field.Index)
			value.SetInt(-1)
			problems := errors.Join(limits.problems()...)
			assert.Check(t, is.ErrorContains(problems, "Limits."+field.Name+" is negative"))
			value.SetInt(7)
			assert.NilError(t, errors.Join(limits.problems()...))

			if field.Name == "Creates" || field.Name == "Transfers" {
				return // held to by places
			}
			held := reflect.ValueOf(limits.ofArchives(nil)).FieldByName(field.Name)
			if field.Name == "ManifestBytes" {
				held = reflect.ValueOf(remote.Options{ManifestBytes: limits.ManifestBytes}).FieldByName(field.Name)
			}
			assert.Equal(t, held.Int(), int64(7))
		})
	}
	tooMuch := Limits{ManifestBytes: maxManifestBytes + 1}
	assert.Check(t, is.ErrorContains(errors.Join(tooMuch.problems()...), "ManifestBytes is more than"))
}

func TestAsLimit(t *testing.T) {
	cause := errors.New("something else")
	assert.Equal(t, asLimit(cause), cause)
	assert.NilError(t, asLimit(nil))

	archive := asLimit(&rootfs.LimitError{Limit: "Entries", Max: 7, Entry: "a/b"})
	assert.Error(t, archive, `archive exceeds the limit Entries of 7 at entry "a/b" (raise ManagerConfig.Limits.Entries to allow more)`)
	assert.Check(t, errdefs.IsInvalidArgument(archive))
	var inner *rootfs.LimitError
	assert.Check(t, errors.As(archive, &inner))

	// Nothing can be raised where the registry client ends.
	manifest := asLimit(&remote.TooLargeError{What: "manifest", Limit: "ManifestBytes", Max: maxManifestBytes})
	assert.Error(t, manifest, "manifest is larger than 4194304 bytes")
}
