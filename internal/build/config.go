// SPDX-License-Identifier: Apache-2.0

package build

import (
	"encoding/json"
	"strings"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/dockerversion"

	v2 "github.com/dovetailhq/plugin/v2"
)

// ConfigLabel is the label of an image that holds the config.json of its plugin.
const ConfigLabel = "io.github.dovetailhq.plugin.config"

// Labels of an image that describe a plugin without description and documentation:
// https://github.com/opencontainers/image-spec/blob/v1.1.1/annotations.md.
const (
	descriptionLabel   = "org.opencontainers.image.description"
	documentationLabel = "org.opencontainers.image.documentation"
)

// configDocument is a config with what it leaves out.
type configDocument struct {
	types.PluginConfig
	hasUser bool
}

// parseConfig reads and checks the config of a material.
func (m *material) parseConfig() (configDocument, error) {
	if len(m.config) == 0 {
		return configDocument{}, &ConfigError{Reason: "the source has none: set --config, or the label " + ConfigLabel + " of an image"}
	}
	config, err := v2.ParseConfig(m.config)
	if err != nil {
		return configDocument{}, err
	}
	if err := v2.ValidateConfig(config); err != nil {
		return configDocument{}, err
	}
	config.DockerVersion = dockerversion.Version //nolint:staticcheck // docker 28 still sets it
	return configDocument{PluginConfig: config, hasUser: hasMember(m.config, "user")}, nil
}

// hasMember reports whether a JSON object has a member, in any case.
func hasMember(object []byte, name string) bool {
	var members map[string]json.RawMessage
	_ = json.Unmarshal(object, &members) // it was parsed before
	for member := range members {
		if strings.EqualFold(member, name) {
			return true
		}
	}
	return false
}

// defaults are the members of an image's config that a plugin's config can leave out.
type defaults struct {
	User       string
	Env        []string
	Entrypoint []string
	Cmd        []string
	WorkingDir string
	Labels     map[string]string
}

// fill adds to a config what it leaves out, and checks it again.
func (d defaults) fill(config *configDocument, t *tree) error {
	if len(config.Entrypoint) == 0 {
		config.Entrypoint = append(append([]string{}, d.Entrypoint...), d.Cmd...)
	}
	if config.WorkDir == "" {
		config.WorkDir = d.WorkingDir
	}
	if config.Description == "" {
		config.Description = d.Labels[descriptionLabel]
	}
	if config.Documentation == "" {
		config.Documentation = d.Labels[documentationLabel]
	}
	config.Env = d.addEnv(config.Env)
	if !config.hasUser && d.User != "" {
		user, err := t.user(d.User)
		if err != nil {
			return err
		}
		config.User = user
	}
	return v2.ValidateConfig(config.PluginConfig)
}

// addEnv adds the variables of the image that a config does not have.
func (d defaults) addEnv(env []types.PluginEnv) []types.PluginEnv {
	known := map[string]bool{}
	for _, one := range env {
		known[one.Name] = true
	}
	for _, text := range d.Env {
		name, value, ok := strings.Cut(text, "=")
		if !ok || known[name] {
			continue
		}
		known[name] = true
		env = append(env, types.PluginEnv{Name: name, Value: &value, Settable: []string{}})
	}
	return env
}
