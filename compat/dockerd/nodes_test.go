// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dockerd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// inNode names the variable that makes the test program a node of a world instead
// of running tests. Its value is a furnishing, as JSON.
const inNode = "DOVETAIL_NODE"

// furnishing is the name of a node and the daemon it runs.
type furnishing struct{ Name, Daemon string }

// node is a machine of a swarm: a world inside of the story's, joined to it by a
// network, and with the same directory of the story's commands.
type node struct {
	name    string
	process *exec.Cmd
	steps   *json.Encoder
	answers *json.Decoder
	pipes   []*os.File
}

// answer is what a node sends back for each step, and once it is furnished.
type answer struct {
	Record  *record
	Failure string
}

// The network of the nodes. The story's world, which has the registry, is 1.
const (
	network     = "10.88.0."
	firstOfNode = 11
)

// beginNodes starts the nodes, whose addresses follow one another.
func (w *world) beginNodes(nodes []furnishing) error {
	if len(nodes) == 0 {
		return nil
	}
	if err := succeed("ip link add nodes type bridge && ip addr add " + network + "1/24 dev nodes && ip link set nodes up"); err != nil {
		return err
	}
	for i, f := range nodes {
		n, err := startNode(f)
		if err != nil {
			return fmt.Errorf("start node %s: %w", f.Name, err)
		}
		w.nodes = append(w.nodes, n)
		if err := n.connect(i); err != nil {
			return fmt.Errorf("connect node %s: %w", f.Name, err)
		}
	}
	return nil
}

// startNode returns when the node is furnished.
func startNode(f furnishing) (*node, error) {
	encoded, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	theirSteps, ourSteps, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	ourAnswers, theirAnswers, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	n := &node{name: f.Name, steps: json.NewEncoder(ourSteps), answers: json.NewDecoder(ourAnswers), pipes: []*os.File{ourSteps, ourAnswers}}
	n.process = inNamespaces(context.Background(), inNode+"="+string(encoded))
	n.process.ExtraFiles = []*os.File{theirSteps, theirAnswers}
	n.process.Stdout, n.process.Stderr = os.Stdout, os.Stderr
	err = n.process.Start()
	_, _ = theirSteps.Close(), theirAnswers.Close()
	if err != nil {
		return nil, err
	}
	_, err = n.answered()
	return n, err
}

// connect joins the i-th node to the network.
func (n *node) connect(i int) error {
	link := fmt.Sprintf("node%d", i)
	err := succeed(fmt.Sprintf("ip link add %s type veth peer name eth0 netns %d && ip link set %s master nodes up", link, n.process.Process.Pid, link))
	if err != nil {
		return err
	}
	_, err = n.do(step{kind: "$", command: fmt.Sprintf("ip addr add %s%d/24 dev eth0 && ip link set eth0 up && ip route add default via %s1", network, firstOfNode+i, network)})
	return err
}

// do runs a step on the node.
func (n *node) do(s step) (*record, error) {
	if err := n.steps.Encode(s.kind + " " + s.command); err != nil {
		return nil, err
	}
	seen, err := n.answered()
	if seen != nil {
		s.node = n.name
		seen.Step = s.String()
	}
	return seen, err
}

func (n *node) answered() (*record, error) {
	var got answer
	if err := n.answers.Decode(&got); err != nil {
		return nil, fmt.Errorf("node %s is gone: %w", n.name, err)
	}
	if got.Failure != "" {
		return got.Record, fmt.Errorf("node %s: %s", n.name, got.Failure)
	}
	return got.Record, nil
}

// end kills the node and returns when nothing of it is left.
func (n *node) end() {
	_ = n.process.Process.Kill()
	for _, pipe := range n.pipes {
		_ = pipe.Close()
	}
	_ = n.process.Wait()
}

// everywhere runs a step where it belongs: in the world, on a node, or on each.
func (w *world) everywhere(s step) ([]record, error) {
	if s.node == "" {
		return recorded(w.do(s))
	}
	var all []record
	found := false
	for _, n := range w.nodes {
		if s.node != n.name && s.node != "each" {
			continue
		}
		found = true
		seen, err := recorded(n.do(s))
		all = append(all, seen...)
		if err != nil {
			return all, err
		}
	}
	if !found {
		return nil, fmt.Errorf("%q is no node", s.node)
	}
	return all, nil
}

func recorded(seen *record, err error) ([]record, error) {
	if seen == nil {
		return nil, err
	}
	return []record{*seen}, err
}

// serveNode is the whole life of a node's first process.
func serveNode(encoded string) {
	steps, answers := json.NewDecoder(os.NewFile(3, "steps")), json.NewEncoder(os.NewFile(4, "answers"))
	syscall.CloseOnExec(3)
	syscall.CloseOnExec(4)
	var f furnishing
	w, err := &world{}, json.Unmarshal([]byte(encoded), &f)
	if err == nil {
		err = furnish(f.Name, map[string]string{programs: programs, work: work})
	}
	if err == nil {
		w.daemon, w.flags = f.Daemon, []string{"--experimental", "--insecure-registry", network + "0/24"}
		err = w.beginContainerd()
	}
	var seen *record
	for {
		got := answer{Record: seen}
		if err != nil {
			got.Failure = errors.Join(err, w.logs()).Error()
		}
		if answers.Encode(got) != nil {
			return
		}
		var line string
		if steps.Decode(&line) != nil {
			return
		}
		seen, err = w.doLine(line)
	}
}

// doLine runs a step that another process has sent.
func (w *world) doLine(line string) (*record, error) {
	parsed, err := parseStory(line)
	if err != nil {
		return nil, err
	}
	if len(parsed) != 1 {
		return nil, fmt.Errorf("%q is no step", line)
	}
	return w.do(parsed[0])
}

// succeed runs a command that has to.
func succeed(line string) error {
	output, code, err := shell(line)
	if err == nil && code != 0 {
		err = fmt.Errorf("%s: exit code %d: %s", line, code, output)
	}
	return err
}
