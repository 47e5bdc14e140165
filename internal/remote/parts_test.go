package remote

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"gotest.tools/v3/assert"

	fake "github.com/dovetailhq/plugin/plugintest/registry"
)

// A server that ends each answer after a part is asked as often as it takes.
func TestManyParts(t *testing.T) {
	b := newBench(t)
	plain := strings.Repeat("x", 8<<20)
	b.layers = []string{plain}
	b.packed = [][]byte{pack(t, plain)}
	b.target = b.PutPlugin(repository, "latest", []byte(config), b.packed...)
	b.options.RetryWait = time.Microsecond
	b.Inject(http.MethodGet, "/blobs/", 0, fake.Cut(64<<10))
	b.mustPull(t)
	assert.Check(t, len(b.asked(blobPath(b.packed[0]))) > 120)
}
