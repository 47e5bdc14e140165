// SPDX-License-Identifier: Apache-2.0

//go:build !stdgzip

package rootfs

import (
	"bufio"
	"io"

	"github.com/dovetailhq/plugin/internal/inflate"
	"github.com/dovetailhq/plugin/internal/members"
)

// newGzipReader reads a gzip stream, on several cores if its members have lengths and
// the budget has memory. The build tag stdgzip chooses the reader of the standard
// library instead. The caller calls recycle when it no longer reads.
func newGzipReader(source *bufio.Reader, budget *Budget, cores int) (r io.Reader, recycle func(), err error) {
	if cores > 1 && members.Begins(source) {
		if inFlight, release := budget.membersInFlight(cores + 2); inFlight > 0 {
			reader := members.NewReader(source, inFlight)
			return reader, func() {
				reader.Close()
				release()
			}, nil
		}
	}
	reader := inflate.Acquire()
	return reader, reader.Release, reader.Reset(source)
}
