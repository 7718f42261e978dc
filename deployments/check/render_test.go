package check

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"
)

const chartDir = "../helm/tickcast"

// valueSets returns what the chart is rendered with, by name: whole installations from
// testdata/values, single corners from testdata/odd.yaml.
func valueSets(t *testing.T) map[string]string {
	t.Helper()
	odd, err := os.ReadFile("testdata/odd.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var corners map[string]any
	if err := yaml.Unmarshal(odd, &corners); err != nil {
		t.Fatal(err)
	}
	sets := make(map[string]string)
	for name, values := range corners {
		text, err := yaml.Marshal(values)
		if err != nil {
			t.Fatal(err)
		}
		sets[name] = string(text)
	}
	files, _ := filepath.Glob("testdata/values/*.yaml")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sets[strings.TrimSuffix(filepath.Base(file), ".yaml")] = string(text)
	}
	if len(files) < 3 || len(sets) < 20 {
		t.Fatalf("only %d value sets", len(sets))
	}
	return sets
}

// forEachSet runs f with what the chart renders to.
func forEachSet(t *testing.T, f func(t *testing.T, manifest string)) {
	sets := valueSets(t)
	for _, name := range slices.Sorted(maps.Keys(sets)) {
		t.Run(name, func(t *testing.T) {
			manifest, err := render(sets[name])
			if err != nil {
				t.Fatal(err)
			}
			f(t, manifest)
		})
	}
}

// render is helm template: the objects as one YAML stream, the notes left out.
func render(values string) (string, error) { return renderAs("md", values) }

func renderAs(releaseName, values string) (string, error) {
	chart, err := loader.Load(chartDir)
	if err != nil {
		return "", err
	}
	given, err := loader.LoadValues(strings.NewReader(values))
	if err != nil {
		return "", err
	}
	release := common.ReleaseOptions{Name: releaseName, Namespace: "market-data", Revision: 1, IsInstall: true}
	all, err := util.ToRenderValues(chart, given, release, common.DefaultCapabilities)
	if err != nil {
		return "", err
	}
	files, err := engine.Engine{Strict: true}.Render(chart, all)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(name, ".yaml") {
			fmt.Fprintf(&b, "---\n# %s\n%s\n", name, files[name])
		}
	}
	return b.String(), nil
}

// known holds every kind that the chart may make.
var known = func() serializer.CodecFactory {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, monitoring.AddToScheme, gateway.Install} {
		if err := add(s); err != nil {
			panic(err)
		}
	}
	s.AddKnownTypeWithName(schema.GroupVersionKind{Group: "keda.sh", Version: "v1alpha1", Kind: "ScaledObject"}, &scaledObject{})
	return serializer.NewCodecFactory(s, serializer.EnableStrict)
}()

// documents takes a YAML stream apart, and leaves out what is empty.
func documents(manifest string) ([]string, error) {
	var docs []string
	for stream := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(manifest))); ; {
		doc, err := stream.Read()
		switch {
		case errors.Is(err, io.EOF):
			return docs, nil
		case err != nil:
			return nil, err
		case !blank(string(doc)):
			docs = append(docs, string(doc))
		}
	}
}

// decode reads a YAML stream as a server with strict field validation does: an unknown kind,
// an unknown or doubled field, a value of the wrong type is an error.
func decode(manifest string) ([]runtime.Object, error) {
	docs, err := documents(manifest)
	if err != nil {
		return nil, err
	}
	var all []runtime.Object
	var errs []error
	for _, doc := range docs {
		obj, _, err := known.UniversalDeserializer().Decode([]byte(doc), nil, nil)
		if err != nil {
			errs = append(errs, fmt.Errorf("%w in\n%.400s", err, doc))
			continue
		}
		all = append(all, obj)
	}
	return all, errors.Join(errs...)
}

// blank says that a document has nothing but comments and rules.
func blank(doc string) bool {
	for line := range strings.Lines(doc) {
		if line = strings.TrimSpace(line); line != "" && line != "---" && !strings.HasPrefix(line, "#") {
			return false
		}
	}
	return true
}

// of returns the objects of one kind, by name.
func of[T any, P interface {
	*T
	GetName() string
}](all []runtime.Object) map[string]P {
	found := make(map[string]P)
	for _, obj := range all {
		if o, ok := obj.(P); ok {
			found[o.GetName()] = o
		}
	}
	return found
}
