package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/core/containers"
)

// Runs returns the ids of the runs that this executor, or an earlier one over
// the same directory, made and that still exist: living ones, and dead ones of
// which something is left. What others run in the same namespace is not among
// them. It asks containerd, and waits for it ten seconds at most; after an
// error the ids are those that are known all the same.
func (e *Executor) Runs() ([]string, error) {
	ctx, cancel := e.bounded(e.limits.outage)
	defer cancel()
	ids, problems := e.listed(ctx)
	withPipes, err := e.withPipes()
	if err != nil {
		problems = append(problems, err)
	}
	ids = append(ids, withPipes...)
	slices.Sort(ids)
	return slices.Compact(ids), errors.Join(problems...)
}

// listed returns the ids of containers that bear the executor's label, and of
// tasks whose output goes to pipes in its directory.
func (e *Executor) listed(ctx context.Context) (ids []string, problems []error) {
	var made []containers.Container
	var running *tasks.ListTasksResponse
	err := e.persist(ctx, func() (err error) {
		made, err = e.client.ContainerService().List(ctx, fmt.Sprintf("labels.%q==%q", rootLabel, e.root))
		return err
	})
	if err != nil {
		problems = append(problems, fmt.Errorf("list containers: %w", native(ctx, err)))
	}
	err = e.persist(ctx, func() (err error) {
		running, err = e.client.TaskService().List(ctx, &tasks.ListTasksRequest{})
		return err
	})
	if err != nil {
		problems = append(problems, fmt.Errorf("list tasks: %w", native(ctx, err)))
	}
	for _, container := range made {
		ids = append(ids, container.ID)
	}
	for _, task := range running.GetTasks() {
		if strings.HasPrefix(task.Stdout, e.root+string(filepath.Separator)) {
			ids = append(ids, task.ID)
		}
	}
	return ids, problems
}

// withPipes returns the ids of which the directory has pipes.
func (e *Executor) withPipes() (ids []string, err error) {
	entries, err := os.ReadDir(e.root)
	for _, entry := range entries {
		if _, missing := os.Lstat(e.pipes(entry.Name()).stdout); missing == nil {
			ids = append(ids, entry.Name())
		}
	}
	return ids, err
}
