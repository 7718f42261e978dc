package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"golang.org/x/mod/module"

	"github.com/tickcast/tickcast/deployments/check/licence"
)

// page and locks are where the page of the streamer is built, and what it is built from.
const page = "../../web/dist/index.html"

var locks = []string{"../../web/package-lock.json", "../../clients/typescript/package-lock.json"}

// A bill lists what is in the image, in CycloneDX's words: files, and the packages of others that
// are in them. It has neither a time nor a serial number, so that the same programs have the same
// bill.
type bill struct {
	parts map[string]cdx.Component // by their reference, which is a package URL where there is one
	needs map[string][]string      // reference to references
	cache string                   // Go's modules
}

// billOf reads what is really there: the modules that Go wrote into each program, and the
// packages that the page has of npm.
func billOf(dir, version string) ([]byte, error) {
	cache, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	b := bill{parts: make(map[string]cdx.Component), needs: make(map[string][]string), cache: strings.TrimSpace(string(cache))}
	const image = "tickcast"
	for _, name := range programs {
		if err := b.program(name, filepath.Join(dir, name), version); err != nil {
			return nil, err
		}
		b.needs[image] = append(b.needs[image], name)
	}
	if err := b.file(certificates, certificates, cdx.Component{Type: cdx.ComponentTypeData}); err != nil {
		return nil, err
	}
	b.needs[image] = append(b.needs[image], certificates)
	if err := b.page("streamer"); err != nil {
		return nil, err
	}

	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{Component: &cdx.Component{
		BOMRef: image, Type: cdx.ComponentTypeContainer, Name: image, Version: version, Licenses: licensed([]string{"Apache-2.0"}),
	}}
	parts := slices.SortedFunc(maps.Values(b.parts), func(x, y cdx.Component) int { return strings.Compare(x.BOMRef, y.BOMRef) })
	bom.Components = &parts
	var needs []cdx.Dependency
	for _, ref := range slices.Sorted(maps.Keys(b.needs)) {
		of := slices.Compact(slices.Sorted(slices.Values(b.needs[ref])))
		needs = append(needs, cdx.Dependency{Ref: ref, Dependencies: &of})
	}
	bom.Dependencies = &needs
	var text bytes.Buffer
	err = cdx.NewBOMEncoder(&text, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6)
	return text.Bytes(), err
}

// file adds a file of the image, by its hash.
func (b *bill) file(ref, from string, c cdx.Component) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(text)
	c.BOMRef, c.Name = ref, ref
	c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum[:])}}
	b.parts[ref] = c
	return nil
}

func (b *bill) program(name, from, version string) error {
	c := cdx.Component{Type: cdx.ComponentTypeApplication, Version: version, Licenses: licensed([]string{"Apache-2.0"})}
	if err := b.file(name, from, c); err != nil {
		return err
	}
	info, err := buildinfo.ReadFile(from)
	if err != nil {
		return err
	}
	std := debug.Module{Path: "std", Version: strings.TrimPrefix(info.GoVersion, "go")}
	b.needs[name] = []string{b.add(std, []string{"BSD-3-Clause"})}
	for _, m := range info.Deps {
		if m.Replace != nil {
			return fmt.Errorf("%s: %s is replaced, and nobody could tell by what", name, m.Path)
		}
		ids, err := b.licences(m)
		if err != nil {
			return err
		}
		b.needs[name] = append(b.needs[name], b.add(*m, ids))
	}
	return nil
}

func (b *bill) add(m debug.Module, ids []string) (ref string) {
	ref = "pkg:golang/" + m.Path + "@" + url.QueryEscape(m.Version)
	b.parts[ref] = cdx.Component{
		BOMRef: ref, Type: cdx.ComponentTypeLibrary, Name: m.Path, Version: m.Version, PackageURL: ref, Licenses: licensed(ids),
	}
	return ref
}

// licences are those of a module in Go's cache, from which it was just built.
func (b *bill) licences(m *debug.Module) ([]string, error) {
	path, err := module.EscapePath(m.Path)
	if err != nil {
		return nil, err
	}
	version, err := module.EscapeVersion(m.Version)
	if err != nil {
		return nil, err
	}
	return licence.Of(m.Path, filepath.Join(b.cache, filepath.FromSlash(path)+"@"+version))
}

// page adds what the page is made of, where the streamer was built with one.
func (b *bill) page(streamer string) error {
	if _, err := os.Stat(page); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	for _, file := range locks {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		packages, err := licence.Lock(text)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		for _, p := range packages {
			if !p.Shipped {
				continue
			}
			ref := "pkg:npm/" + strings.ReplaceAll(p.Name, "@", "%40") + "@" + p.Version
			c := cdx.Component{BOMRef: ref, Type: cdx.ComponentTypeLibrary, Name: p.Name, Version: p.Version, PackageURL: ref, Licenses: licensed(p.Licences)}
			if sum, ok := strings.CutPrefix(p.Integrity, "sha512-"); ok {
				raw, err := base64.StdEncoding.DecodeString(sum)
				if err != nil {
					return fmt.Errorf("%s: %s: %w", file, p.Name, err)
				}
				c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA512, Value: hex.EncodeToString(raw)}}
			}
			b.parts[ref] = c
			b.needs[streamer] = append(b.needs[streamer], ref)
		}
	}
	return nil
}

func licensed(ids []string) *cdx.Licenses {
	var all cdx.Licenses
	for _, id := range ids {
		all = append(all, cdx.LicenseChoice{License: &cdx.License{ID: id}})
	}
	return &all
}
