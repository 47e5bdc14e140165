package remote

import (
	"github.com/docker/docker/pkg/progress"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dovetailhq/plugin/internal/ids"
)

// meterBytes is how much is transferred, at most, before it is told.
const meterBytes = 512 << 10

// meter tells how far a transfer has got: at each hundredth, or more often.
type meter struct {
	out     progress.Output
	id      string
	action  string
	current int64
	total   int64
	told    int64
}

func (m *meter) add(n int64) {
	m.current += n
	if m.current-m.told < min(meterBytes, m.total/100) && m.current != m.total {
		return
	}
	m.told = m.current
	// Who listens no more is told by who gave the output.
	_ = m.out.WriteProgress(progress.Progress{ID: m.id, Action: m.action, Current: m.current, Total: m.total})
}

// Write counts bytes that pass.
func (m *meter) Write(data []byte) (int, error) {
	m.add(int64(len(data)))
	return len(data), nil
}

// short is how people see a blob.
func short(d ocispec.Descriptor) string { return ids.Short(d.Digest.String()) }
