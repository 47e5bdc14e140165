// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
)

// Result is the type checker's result for one package.
type Result struct {
	// Problems are its errors with file and line, except errors about imports
	// that are not available.
	Problems []string
	// Uses is how often the package names an identifier of the replacements.
	Uses int
}

// Check type-checks packages of a module from their source, including the tests
// in the same package. Imports come from replacements, else from the packages
// to check, else from given, else from the module's source. A package that is
// in none of them, for example of a module that is not downloaded, is assumed
// to have every identifier that is used.
func Check(source *Source, importPaths []string, given, replacements map[string]*types.Package) (map[string]Result, error) {
	c := &checker{
		source:       source,
		toCheck:      importPaths,
		given:        given,
		replacements: replacements,
		files:        token.NewFileSet(),
		imported:     map[string]*types.Package{},
	}
	results := map[string]Result{}
	for _, importPath := range importPaths {
		p := source.packages[importPath]
		if p == nil {
			return nil, fmt.Errorf("check %s: no such package in %s", importPath, source.Path)
		}
		result, err := c.check(importPath, slices.Concat(p.GoFiles, p.TestGoFiles))
		if err != nil {
			return nil, err
		}
		results[importPath] = result
	}
	return results, nil
}

type checker struct {
	source              *Source
	toCheck             []string
	given, replacements map[string]*types.Package
	files               *token.FileSet
	imported            map[string]*types.Package // from source
}

// Import implements types.Importer for the packages in progress.
func (c *checker) Import(importPath string) (*types.Package, error) {
	if p, ok := c.replacements[importPath]; ok {
		return p, nil
	}
	if p, ok := c.given[importPath]; ok && !slices.Contains(c.toCheck, importPath) {
		return p, nil
	}
	if c.source.packages[importPath] != nil {
		return c.fromSource(importPath)
	}
	return nil, fmt.Errorf("import %s: not at hand", importPath)
}

// fromSource makes a package as importers see it: without bodies and tests.
func (c *checker) fromSource(importPath string) (*types.Package, error) {
	if p, ok := c.imported[importPath]; ok {
		return p, nil
	}
	syntax, err := c.parse(importPath, c.source.packages[importPath].GoFiles)
	if err != nil {
		return nil, err
	}
	ignore := func(error) {} // check reports them
	config := types.Config{Importer: c, Error: ignore, IgnoreFuncBodies: true, FakeImportC: true}
	p, _ := config.Check(importPath, c.files, syntax, nil)
	c.imported[importPath] = p
	return p, nil
}

func (c *checker) check(importPath string, names []string) (Result, error) {
	var result Result
	syntax, err := c.parse(importPath, names)
	if err != nil {
		return result, err
	}
	imports := importPositions(c.files, syntax)
	config := types.Config{Importer: c, FakeImportC: true, Error: func(err error) {
		var problem types.Error
		if errors.As(err, &problem) && !imports[c.files.Position(problem.Pos)] && !problem.Soft {
			result.Problems = append(result.Problems, c.say(problem))
		}
	}}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	_, _ = config.Check(importPath, c.files, syntax, info) // the errors were reported one by one
	for _, object := range info.Uses {
		if c.isReplacement(object.Pkg()) {
			result.Uses++
		}
	}
	return result, nil
}

func (c *checker) isReplacement(p *types.Package) bool {
	for _, replacement := range c.replacements {
		if p == replacement {
			return true
		}
	}
	return false
}

func (c *checker) parse(importPath string, names []string) ([]*ast.File, error) {
	var syntax []*ast.File
	for _, name := range names {
		file, err := parser.ParseFile(c.files, filepath.Join(c.source.packages[importPath].Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("parse %s: %w", importPath, err)
		}
		syntax = append(syntax, file)
	}
	return syntax, nil
}

// importPositions returns where a missing import is reported.
func importPositions(files *token.FileSet, syntax []*ast.File) map[token.Position]bool {
	positions := map[token.Position]bool{}
	for _, file := range syntax {
		for _, spec := range file.Imports {
			positions[files.Position(spec.Path.Pos())] = true
		}
	}
	return positions
}

func (c *checker) say(problem types.Error) string {
	position := c.files.Position(problem.Pos)
	name, err := filepath.Rel(c.source.Dir, position.Filename)
	if err != nil {
		name = position.Filename
	}
	return fmt.Sprintf("%s:%d: %s", filepath.ToSlash(name), position.Line, problem.Msg)
}
