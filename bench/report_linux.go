package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/tickcast/tickcast/bench/internal/report"
)

// reportCmd makes a page of results, and keeps the repository's tables up to date.
type reportCmd struct {
	Files []string `arg:"" optional:"" type:"existingfile" help:"Results of compare, peers, prove, calibrate and load --json. Without any, those that the repository keeps; its tables are then written anew too."`
	Out   string   `default:"bin/report" help:"Folder for index.html, which needs no other file, and the plots as SVG."`
	Root  string   `default:"." type:"existingdir" help:"Folder of the repository."`
}

// Run implements the command.
func (c *reportCmd) Run() error {
	names := c.Files
	if len(names) == 0 {
		if err := c.refresh(); err != nil {
			return err
		}
		var err error
		if names, err = filepath.Glob(filepath.Join(c.Root, "bench", "results", "*.json")); err != nil {
			return err
		}
	}
	results, err := report.Read(names)
	if err != nil {
		return err
	}
	var page bytes.Buffer
	plots, err := results.Page(&page)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return err
	}
	for _, p := range plots {
		err = errors.Join(err, os.WriteFile(filepath.Join(c.Out, p.File), p.SVG, 0o644))
	}
	index := filepath.Join(c.Out, "index.html")
	if err = errors.Join(err, os.WriteFile(index, page.Bytes(), 0o644)); err != nil {
		return err
	}
	fmt.Printf("%s: %d results, %d plots\n", index, len(names), len(plots))
	return nil
}

// refresh writes the tables that are not as the results are.
func (c *reportCmd) refresh() error {
	pages, err := report.Docs(c.Root)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(pages)) {
		old, err := os.ReadFile(name)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if string(old) == pages[name] {
			continue
		}
		if err := os.WriteFile(name, []byte(pages[name]), 0o644); err != nil {
			return err
		}
		fmt.Println("written anew:", name)
	}
	return nil
}
