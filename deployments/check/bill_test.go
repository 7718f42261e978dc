package check

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// checkBill holds the bill of materials of an image to the programs that are in it, which are
// unpacked at root.
func checkBill(t *testing.T, image v1.Descriptor, artifact v1.Image, beside, root string) {
	t.Helper()
	text, err := os.ReadFile(beside)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := artifact.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if s := manifest.Subject; s == nil || s.Digest != image.Digest || s.Size != image.Size {
		t.Errorf("the bill is of %+v, the image is %v", s, image.Digest)
	}
	if attached := onlyLayer(t, artifact); !bytes.Equal(attached, text) {
		t.Error("the bill in the layout is another than the one beside it")
	}
	validateBill(t, text)

	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(text), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	if c := bom.Metadata.Component; c.Name != "tickcast" || c.Version != "1.2.3-test" {
		t.Errorf("the bill is of %s %s", c.Name, c.Version)
	}
	parts := make(map[string]cdx.Component)
	for _, c := range *bom.Components {
		parts[c.BOMRef] = c
	}
	needs := make(map[string][]string)
	for _, d := range *bom.Dependencies {
		needs[d.Ref] = *d.Dependencies
	}
	for _, name := range []string{"streamer", "feed", "healthcheck"} {
		program := filepath.Join(root, name)
		binary, err := os.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(binary)
		if got := parts[name].Hashes; got == nil || (*got)[0].Value != hex.EncodeToString(sum[:]) {
			t.Errorf("the bill has another %s", name)
		}
		info, err := buildinfo.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"pkg:golang/std@" + strings.TrimPrefix(info.GoVersion, "go")}
		for _, m := range info.Deps {
			want = append(want, "pkg:golang/"+m.Path+"@"+strings.ReplaceAll(m.Version, "+", "%2B"))
		}
		for _, ref := range want {
			if c := parts[ref]; c.Licenses == nil || len(*c.Licenses) == 0 || !slices.Contains(needs[name], ref) {
				t.Errorf("%s: the bill lacks %s, or its licence", name, ref)
			}
		}
	}
	// A checkout in which no page was built has none in its streamer.
	_, err = os.Stat("../../web/dist/index.html")
	if has := strings.Contains(strings.Join(needs["streamer"], " "), "pkg:npm/lightweight-charts@"); has != (err == nil) {
		t.Errorf("the bill has the page: %v; there is one: %v", has, err == nil)
	}
}

func onlyLayer(t *testing.T, img v1.Image) []byte {
	t.Helper()
	layers, err := img.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	r, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// validateBill holds the text to CycloneDX's schema, which the library brings along.
func validateBill(t *testing.T, text []byte) {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "schema")
	compiler := jsonschema.NewCompiler()
	for _, name := range []string{"bom-1.6.schema.json", "spdx.schema.json", "jsf-0.82.schemax.json"} {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		schema, err := jsonschema.UnmarshalJSON(f)
		_ = f.Close()
		if err != nil {
			t.Fatal(err)
		}
		if err := compiler.AddResource("http://cyclonedx.org/schema/"+strings.Replace(name, "schemax", "schema", 1), schema); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := compiler.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	bill, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(bill); err != nil {
		t.Error(err)
	}
	var broken map[string]any
	if err := json.Unmarshal(text, &broken); err != nil {
		t.Fatal(err)
	}
	delete(broken, "bomFormat")
	if schema.Validate(broken) == nil {
		t.Error("the schema takes everything")
	}
}

func billBeside(image string) string { return image + ".linux-" + runtime.GOARCH + ".cdx.json" }
