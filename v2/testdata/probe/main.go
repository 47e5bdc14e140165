// Command probe is a plugin that reports, in JSON on its standard output, what
// it sees of the spec it was started with, and touches a file in every
// directory that it is named.
package main

import (
	"encoding/json"
	"log"
	"os"
	"path/filepath"
	"regexp"
)

func main() {
	directory, err := os.Getwd()
	if err != nil {
		log.Fatal(err)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		log.Fatal(err)
	}
	for _, touched := range filepath.SplitList(os.Getenv("TOUCH")) {
		if err := os.WriteFile(filepath.Join(touched, "touched"), nil, 0o600); err != nil {
			log.Fatal(err)
		}
	}
	present := map[string]bool{}
	for _, path := range filepath.SplitList(os.Getenv("LOOK")) {
		_, err := os.Stat(path)
		present[path] = err == nil
	}
	err = json.NewEncoder(os.Stdout).Encode(map[string]any{
		"Args":      os.Args,
		"Env":       os.Environ(),
		"Directory": directory,
		"User":      os.Getuid(),
		"Effective": string(regexp.MustCompile(`CapEff:\s*(\w+)`).FindSubmatch(status)[1]),
		"Present":   present,
	})
	if err != nil {
		log.Fatal(err)
	}
}
