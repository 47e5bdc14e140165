// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"io"
	"runtime"
	"sync"

	"github.com/dovetailhq/plugin/internal/members"
)

// Compressor compresses an archive to a layer, on as many cores as its budget has
// left. The layer is the same for any number of cores. It is not safe for concurrent
// use.
type Compressor struct {
	*members.Writer
	release func()
}

// NewCompressor returns a compressor that writes to sink. The caller closes it, also
// after an error.
func NewCompressor(sink io.Writer, budget *Budget) *Compressor {
	cores, release := budget.compressors(min(runtime.GOMAXPROCS(0), maxLayerBlocks))
	return &Compressor{Writer: members.NewWriter(sink, cores), release: sync.OnceFunc(release)}
}

// Close writes the rest and returns the first error of the sink. Further calls do
// nothing.
func (c *Compressor) Close() error {
	defer c.release()
	return c.Writer.Close()
}
