// Image packs the programs as an OCI image without a container engine, as
// deployments/image/Dockerfile has it. Run it by make image.
//
//	image -version 1.2.3 -out FOLDER linux/amd64=PROGRAMS linux/arm64=PROGRAMS
//
// FOLDER becomes an OCI layout, which skopeo, crane, podman and containerd read. Each platform's
// image has a bill of materials, in CycloneDX: in the layout as an artifact that refers to the
// image, and beside FOLDER as FOLDER.linux-amd64.cdx.json.
package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// certificates is the bundle of the machine that packs.
const certificates = "/etc/ssl/certs/ca-certificates.crt"

var programs = []string{"streamer", "feed", "healthcheck"}

func main() {
	version := flag.String("version", "", "the version that the programs were stamped with")
	out := flag.String("out", "", "the folder to write")
	flag.Parse()
	if err := pack(*out, *version, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func pack(out, version string, platforms []string) error {
	if out == "" || version == "" || len(platforms) == 0 {
		return errors.New("a version, a folder and a platform are needed")
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range platforms {
		name, dir, _ := strings.Cut(p, "=")
		platform, err := v1.ParsePlatform(name)
		if err != nil {
			return err
		}
		img, err := build(*platform, dir, version)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		bill, err := billOf(dir, version)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := os.WriteFile(fmt.Sprintf("%s.%s.cdx.json", out, strings.ReplaceAll(name, "/", "-")), bill, 0o644); err != nil { //nolint:gosec // for all to read
			return err
		}
		artifact, err := refer(img, bill)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		index = mutate.AppendManifests(index,
			mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: platform}},
			mutate.IndexAddendum{Add: artifact, Descriptor: v1.Descriptor{Platform: nowhere, ArtifactType: billType}})
	}
	_, err := layout.Write(out, index)
	return err
}

const billType = "application/vnd.cyclonedx+json"

// nowhere is the platform of what no engine should run, as BuildKit has it for its attestations.
var nowhere = &v1.Platform{OS: "unknown", Architecture: "unknown"}

// refer makes an artifact of the bill, whose subject is the image: a registry lists it among the
// image's referrers.
func refer(img v1.Image, bill []byte) (v1.Image, error) {
	subject, err := partial.Descriptor(img)
	if err != nil {
		return nil, err
	}
	artifact := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), billType)
	artifact, err = mutate.AppendLayers(artifact, static.NewLayer(bill, billType))
	if err != nil {
		return nil, err
	}
	return mutate.Subject(artifact, *subject).(v1.Image), nil
}

func build(p v1.Platform, dir, version string) (v1.Image, error) {
	files, err := archive(dir)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files)), nil },
		tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), layer)
	if err != nil {
		return nil, err
	}
	return mutate.ConfigFile(img, &v1.ConfigFile{
		OS: p.OS, Architecture: p.Architecture, Variant: p.Variant,
		RootFS: v1.RootFS{Type: "layers", DiffIDs: diffIDs(layer)},
		Config: v1.Config{
			User: "65532:65532", Entrypoint: []string{"/streamer"},
			ExposedPorts: map[string]struct{}{"8080/tcp": {}, "9090/tcp": {}},
			Healthcheck: &v1.HealthConfig{
				Test:     []string{"CMD", "/healthcheck", "http://127.0.0.1:9090/healthz"},
				Interval: 5 * time.Second, Timeout: 3 * time.Second, StartPeriod: 30 * time.Second,
			},
			Labels: map[string]string{
				"org.opencontainers.image.title": "tickcast", "org.opencontainers.image.version": version,
				"org.opencontainers.image.source": "https://github.com/tickcast/tickcast", "org.opencontainers.image.licenses": "Apache-2.0",
			},
		},
	})
}

// archive is the one layer. Times are left out, so that the same programs make the same image.
func archive(dir string) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(name, from string, mode int64) error {
		text, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		_, err = w.Write(text)
		return err
	}
	if err := add(strings.TrimPrefix(certificates, "/"), certificates, 0o444); err != nil {
		return nil, err
	}
	for _, name := range programs {
		if err := add(name, filepath.Join(dir, name), 0o555); err != nil {
			return nil, err
		}
	}
	// An embedded NATS wants a folder, though it keeps everything in memory.
	if err := w.WriteHeader(&tar.Header{Name: "tmp/", Mode: 0o1777, Typeflag: tar.TypeDir}); err != nil {
		return nil, err
	}
	err := w.Close()
	return b.Bytes(), err
}

func diffIDs(l v1.Layer) []v1.Hash {
	id, err := l.DiffID()
	if err != nil {
		panic(err) // of bytes in memory
	}
	return []v1.Hash{id}
}
