//go:build !linux

package plugin

import v2 "github.com/dovetailhq/plugin/v2"

// hint knows nothing where no plugin can be started.
func hint(*v2.Plugin) string { return "" }
