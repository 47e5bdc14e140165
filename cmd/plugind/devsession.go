// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	"github.com/opencontainers/go-digest"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/build"
	"github.com/dovetailhq/plugin/internal/plaintext"
	"github.com/dovetailhq/plugin/internal/watch"
	v2 "github.com/dovetailhq/plugin/v2"
)

// session keeps a plugin in step with its source.
type session struct {
	manager  *plugin.Manager
	options  devOptions
	source   build.Source
	scratch  string // a directory for builds
	out      io.Writer
	problems io.Writer

	installed bool
	set       bool          // the settings of the options
	running   digest.Digest // of the manifest that was enabled; empty after an error
	followed  chan struct{} // closed when the output has ended; nil before the install
}

// run runs the plugin until ctx ends or an error prevents more. It closes the tree.
func (s *session) run(ctx context.Context, tree *watch.Tree, serve func(context.Context) error) (err error) {
	within, cancel := context.WithCancel(ctx)
	served := make(chan struct{})
	go func() {
		defer close(served)
		err = serve(within)
	}()
	happened, unsubscribe := s.manager.SubscribeEvents(eventBuffer, plugin.EventStartFailed{}, plugin.EventExited{}, plugin.EventRestarted{})
	defer unsubscribe()
	for again := true; again; again = s.await(tree.Changes, happened, served) {
		if err := s.refresh(within); err != nil && ctx.Err() == nil {
			s.show(err)
		}
	}
	cancel()
	<-served
	if s.followed != nil {
		<-s.followed
	}
	tree.Close()
	return errors.Join(err, tree.Err())
}

// eventBuffer holds the events of a start.
const eventBuffer = 16

// await shows what happens to the plugin until its files change. It returns false when
// the server has ended, or when the files can't be watched any more.
func (s *session) await(changes <-chan struct{}, happened <-chan any, served <-chan struct{}) bool {
	for {
		select {
		case <-served:
			return false
		case event := <-happened:
			s.showEvent(event)
		case _, ok := <-changes:
			return ok
		}
	}
}

// refresh brings the plugin to the state of its source. The one that runs is stopped only
// after a successful build.
func (s *session) refresh(ctx context.Context) (err error) {
	began := time.Now()
	builder, err := build.New(s.scratch, build.Options{Uncompressed: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, builder.Close()) }()
	built, err := builder.Build(ctx, s.source)
	if err != nil {
		return err
	}
	if built.Manifest.Digest == s.running {
		return nil // such as a change of a test
	}
	for _, warning := range built.Warnings {
		fmt.Fprintf(s.problems, "warning: %s\n", plaintext.Quote(warning))
	}
	layout, err := builder.Layout(built.Manifest)
	if err != nil {
		return err
	}
	wasBuilt := time.Now()
	s.running = ""
	if err := s.install(ctx, layout); err != nil {
		return err
	}
	installed := time.Now()
	if err := s.enable(ctx); err != nil {
		return err
	}
	s.running = built.Manifest.Digest
	ready := time.Now()
	fmt.Fprintf(s.problems, "ready after %s: build %s, install %s, start %s\n", between(began, ready), between(began, wasBuilt), between(wasBuilt, installed), between(installed, ready))
	return nil
}

func between(from, to time.Time) time.Duration { return to.Sub(from).Round(time.Millisecond) }

// install creates or upgrades the plugin, and leaves it disabled.
func (s *session) install(ctx context.Context, layout string) error {
	name := s.options.name
	if s.installed {
		if err := s.upgrade(ctx, layout); err != nil {
			return err
		}
	} else {
		if err := s.manager.CreateFromLayout(ctx, layout, &types.PluginCreateOptions{RepoName: name}); err != nil {
			return err
		}
		s.installed = true
		if err := s.follow(ctx); err != nil {
			return err
		}
	}
	if !s.set {
		if err := s.manager.Set(name, s.options.settings); err != nil {
			return err
		}
		s.set = true
	}
	return nil
}

func (s *session) upgrade(ctx context.Context, layout string) error {
	name := s.options.name
	err := s.manager.Disable(name, &backend.PluginDisableConfig{ForceDisable: true})
	if disabled := (*plugin.DisabledError)(nil); err != nil && !errors.As(err, &disabled) {
		return err
	}
	err = s.manager.UpgradeFromLayout(ctx, layout, name)
	if lost := (*v2.LostSettingsError)(nil); errors.As(err, &lost) {
		fmt.Fprintf(s.problems, "warning: settings are dropped: %v\n", plaintext.Error(err))
		return s.manager.UpgradeFromLayout(plugin.DropLostSettings(ctx), layout, name)
	}
	return err
}

// devCallTimeout is docker's bound for calls of a plugin, in seconds.
const devCallTimeout = 30

// enable starts the plugin. The end of ctx interrupts it.
func (s *session) enable(ctx context.Context) error {
	interrupted := context.AfterFunc(ctx, func() {
		_ = s.manager.Disable(s.options.name, &backend.PluginDisableConfig{ForceDisable: true}) // it can be disabled
	})
	defer interrupted()
	return s.manager.Enable(s.options.name, &backend.PluginEnableConfig{Timeout: devCallTimeout})
}

// follow copies the plugin's output until ctx ends.
func (s *session) follow(ctx context.Context) error {
	lines, err := s.manager.Logs(ctx, s.options.name, plugin.LogOptions{Follow: true, Tail: -1})
	if err != nil {
		return err
	}
	s.followed = make(chan struct{})
	go func() {
		defer close(s.followed)
		for line, err := range lines {
			if err != nil {
				return // ctx has ended, or the log of this run can't be read
			}
			fmt.Fprintln(s.out, plaintext.Quote(line.Text))
		}
	}()
	return nil
}

// show prints an error of a refresh. Failed starts are shown by their event.
func (s *session) show(err error) {
	var start *plugin.StartError
	var compiler *build.GoError
	switch {
	case errors.As(err, &start):
	case errors.As(err, &compiler):
		fmt.Fprintf(s.problems, "go %s: %s\n", compiler.Op, plaintext.Lines(compiler.Output))
	default:
		fmt.Fprintln(s.problems, plaintext.Error(err))
	}
}

func (s *session) showEvent(event any) {
	switch event := event.(type) {
	case plugin.EventStartFailed:
		fmt.Fprintln(s.problems, plaintext.Error(event.Err))
	case plugin.EventExited:
		fmt.Fprintf(s.problems, "the plugin exited with code %d, and is restarted\n", event.Exit.Code)
	case plugin.EventRestarted:
		fmt.Fprintln(s.problems, "the plugin is ready again")
	}
}
