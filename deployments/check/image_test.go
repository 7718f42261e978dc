package check

import (
	"archive/tar"
	"debug/elf"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func TestImageHasThePrograms(t *testing.T) {
	out := filepath.Join(t.TempDir(), "image")
	cmd := exec.Command("make", "--no-print-directory", "image-layout", "VERSION=1.2.3-test", "TRIM=", "PLATFORMS=linux/"+runtime.GOARCH, "IMAGE="+out)
	cmd.Dir = "../.." // TRIM= shares the packages that other tests have built

	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	index, err := layout.ImageIndexFromPath(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil || len(manifest.Manifests) != 2 { // the image, and what it is made of
		t.Fatalf("%+v, %v", manifest, err)
	}
	img, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if c := config.Config; c.User != "65532:65532" || c.Healthcheck == nil || c.Labels["org.opencontainers.image.version"] != "1.2.3-test" {
		t.Errorf("config %+v", c)
	}
	root := t.TempDir()
	unpack(t, img, root)
	bill, err := index.Image(manifest.Manifests[1].Digest)
	if err != nil {
		t.Fatal(err)
	}
	checkBill(t, manifest.Manifests[0], bill, billBeside(out), root)
	for _, name := range []string{"streamer", "feed", "healthcheck"} {
		program, err := elf.Open(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range program.Progs {
			if p.Type == elf.PT_INTERP {
				t.Errorf("%s needs a loader, which the image does not have", name)
			}
		}
		_ = program.Close()
	}
	if bundle, err := os.ReadFile(filepath.Join(root, "etc/ssl/certs/ca-certificates.crt")); err != nil || !strings.Contains(string(bundle), "BEGIN CERTIFICATE") {
		t.Errorf("no certificates: %v", err)
	}
	if info, err := os.Stat(filepath.Join(root, "tmp")); err != nil || info.Mode()&os.ModeSticky == 0 {
		t.Errorf("an embedded NATS has no folder: %v, %v", info, err)
	}
	// The Dockerfile says the same in its own words.
	dockerfile, err := os.ReadFile("../image/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"USER " + config.Config.User, `ENTRYPOINT ["` + config.Config.Entrypoint[0] + `"]`, `"` + config.Config.Healthcheck.Test[2] + `"`, "mkdir -m 1777 /out/tmp"} {
		if !strings.Contains(string(dockerfile), line) {
			t.Errorf("the Dockerfile has no %s", line)
		}
	}
	for _, program := range []string{"streamer", "feed"} {
		if text, err := exec.Command(filepath.Join(root, program), "--help").CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", program, err, text)
		}
	}
	if text, err := os.ReadFile(filepath.Join(root, "streamer")); err != nil || !strings.Contains(string(text), "1.2.3-test") {
		t.Errorf("the streamer is not stamped: %v", err)
	}
}

// unpack writes the image's files, as a container would see them.
func unpack(t *testing.T, img v1.Image, root string) {
	t.Helper()
	layers, err := img.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	files, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = files.Close() }()
	for r := tar.NewReader(files); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(root, filepath.Clean("/"+h.Name))
		if h.Typeflag == tar.TypeDir {
			if err := os.Mkdir(to, h.FileInfo().Mode()); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err == nil {
			err = os.WriteFile(to, text, h.FileInfo().Mode())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
