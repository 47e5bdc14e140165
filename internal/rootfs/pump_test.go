// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

func TestPumpHandsOnEverything(t *testing.T) {
	data := []byte(text(newRandom(1), 5*pumpBlocks*pumpBlockBytes+17))
	for _, wrap := range []func(io.Reader) io.Reader{
		func(r io.Reader) io.Reader { return r }, iotest.DataErrReader, iotest.HalfReader,
	} {
		synctest.Test(t, func(t *testing.T) {
			var got []byte
			err := pump(t.Context(), wrap(bytes.NewReader(data)), nil, func(r io.Reader) (err error) {
				got, err = io.ReadAll(r)
				return err
			})
			assert.NilError(t, err)
			assert.Check(t, bytes.Equal(got, data))
		})
	}
}

// pump stops reading its source, here an endless one, when the consumer stops.
func TestPumpStopsWithConsumer(t *testing.T) {
	for _, want := range []error{nil, errors.New("enough")} {
		synctest.Test(t, func(t *testing.T) {
			err := pump(t.Context(), endless{}, nil, func(r io.Reader) error {
				_, err := io.CopyN(io.Discard, r, 3*pumpBlocks*pumpBlockBytes)
				assert.Check(t, err)
				return want
			})
			assert.Equal(t, err, want)
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestPumpSourceError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cut := errors.New("connection cut")
		var seen error
		err := pump(t.Context(), io.MultiReader(bytes.NewReader([]byte("some")), failing{cut}), nil, func(r io.Reader) error {
			_, seen = io.ReadAll(r)
			return errors.New("error of the consumer")
		})
		assert.Check(t, is.ErrorIs(err, cut))
		assert.Equal(t, seen, cut)
	})
}

func TestPumpCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		read := 0
		err := pump(ctx, endless{}, nil, func(r io.Reader) error {
			for {
				n, err := r.Read(make([]byte, 1<<20))
				read += n
				if err != nil {
					return err
				}
				cancel()
			}
		})
		assert.Check(t, is.ErrorIs(err, context.Canceled))
		assert.Check(t, read > 0)
	})
}

// Blocks are filled although decoders return few bytes at a time.
func TestPumpFillsBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		read := 0
		source := io.TeeReader(iotest.OneByteReader(endless{}), writeFunc(func(p []byte) { read += len(p) }))
		ctx, cancel := context.WithCancel(t.Context())
		release := make(chan struct{})
		go func() {
			synctest.Wait()
			assert.Check(t, read >= splitBlocks*pumpBlockBytes, "%d bytes fill the pump", read)
			cancel()
			close(release)
		}()
		err := pump(ctx, source, nil, func(io.Reader) error {
			<-release
			return nil
		})
		assert.Check(t, is.ErrorIs(err, context.Canceled))
	})
}

type writeFunc func([]byte)

func (f writeFunc) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}
