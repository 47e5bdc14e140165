// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"github.com/docker/docker/pkg/progress"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dovetailhq/plugin/internal/ids"
)

// meterBytes is the most that is transferred between two reports.
const meterBytes = 512 << 10

// meter reports the progress of a transfer, at each hundredth or more often.
type meter struct {
	out      progress.Output
	id       string
	action   string
	current  int64
	total    int64
	reported int64
}

func (m *meter) add(n int64) {
	m.current += n
	if m.current-m.reported < min(meterBytes, m.total/100) && m.current != m.total {
		return
	}
	m.reported = m.current
	// The owner of the output sees its error; the transfer continues.
	_ = m.out.WriteProgress(progress.Progress{ID: m.id, Action: m.action, Current: m.current, Total: m.total})
}

// Write counts bytes.
func (m *meter) Write(data []byte) (int, error) {
	m.add(int64(len(data)))
	return len(data), nil
}

// short returns the name of a blob in progress output.
func short(d ocispec.Descriptor) string { return ids.Short(d.Digest.String()) }
