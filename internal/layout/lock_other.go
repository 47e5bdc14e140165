//go:build !unix

package layout

import "os"

// lockFile does not lock: where there is no flock no verb changes a root.
func lockFile(*os.File) error { return nil }
