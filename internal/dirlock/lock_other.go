//go:build !unix

package dirlock

import "os"

// lockFile does not lock: where there is no flock nothing that needs a lock runs.
func lockFile(*os.File) error { return nil }
