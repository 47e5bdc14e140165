package plugin

import "context"

type dropLostSettings struct{}

// DropLostSettings returns a context with which [Manager.Upgrade] drops what was
// set and the new version does not take, and says so in its progress and in the
// daemon's log, instead of refusing with [github.com/dovetailhq/plugin/v2.ErrLostSettings].
func DropLostSettings(ctx context.Context) context.Context {
	return context.WithValue(ctx, dropLostSettings{}, true)
}

// DropsLostSettings reports whether ctx is one of [DropLostSettings].
func DropsLostSettings(ctx context.Context) bool {
	return ctx.Value(dropLostSettings{}) != nil
}
