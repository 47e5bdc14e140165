package plugin

import (
	"slices"
	"strings"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/filters"
)

// listFilter is what [Manager.List] is asked for.
type listFilter struct {
	args            filters.Args
	byEnabled, want bool
	byCapability    bool
}

var acceptedFilters = map[string]bool{"enabled": true, "capability": true}

func parseListFilter(args filters.Args) (listFilter, error) {
	if err := args.Validate(acceptedFilters); err != nil {
		return listFilter{}, err
	}
	f := listFilter{
		args:         args,
		byEnabled:    args.Contains("enabled"),
		byCapability: args.Contains("capability"),
	}
	want, err := args.GetBoolOrDefault("enabled", false)
	f.want = want
	return f, err
}

func (f listFilter) matches(p types.Plugin) bool {
	if f.byEnabled && p.Enabled != f.want {
		return false
	}
	return !f.byCapability || slices.ContainsFunc(p.Config.Interface.Types, func(typ types.PluginInterfaceType) bool {
		return f.args.ExactMatch("capability", typ.Capability)
	})
}

func byName(a, b types.Plugin) int {
	if order := strings.Compare(a.Name, b.Name); order != 0 {
		return order
	}
	return strings.Compare(a.ID, b.ID)
}
