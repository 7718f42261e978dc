//go:build cluster

package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"
)

// A cluster is a real API server, that make check-cluster has built, and who speaks to it.
type cluster struct {
	client dynamic.Interface
	mapper meta.RESTMapper

	mu       sync.Mutex
	warnings []string
}

// HandleWarningHeader gathers what the server warns of: deprecations, pods that break the
// namespace's security standard.
func (c *cluster) HandleWarningHeader(_ int, _, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.warnings = append(c.warnings, text)
}

func (c *cluster) warned() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.warnings
	c.warnings = nil
	return all
}

// resourceDefinitions are folders of modules with what the chart's kinds are made of, in the versions
// that the strict decoding has too.
var resourceDefinitions = map[string]string{
	"github.com/prometheus-operator/prometheus-operator@v0.92.0": "example/prometheus-operator-crd",
	"sigs.k8s.io/gateway-api@v1.6.3":                             "config/crd/standard",
	"github.com/kedacore/keda/v2@v2.21.0":                        "config/crd/bases",
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	dir := t.TempDir()
	server := exec.Command(os.Getenv("CLUSTER"), dir)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	server.Stderr = log
	if err := server.Start(); err != nil {
		t.Fatalf("CLUSTER names the program: %v", err)
	}
	ended := make(chan struct{})
	go func() {
		_ = server.Wait() // killed, or its log tells
		close(ended)
	}()
	t.Cleanup(func() {
		_ = server.Process.Kill()
		<-ended
		if text, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("the server's last words: %s", text[max(0, len(text)-2000):])
		}
		_ = log.Close()
	})
	c := &cluster{}
	var config *rest.Config
	waitFor(t, "the server to be ready", func() error {
		select {
		case <-ended:
			t.Fatal("the server ended")
		default:
		}
		if config, err = clientcmd.BuildConfigFromFlags("", filepath.Join(dir, "kubeconfig")); err != nil {
			return err
		}
		config.WarningHandler, config.QPS = c, -1
		d, err := discovery.NewDiscoveryClientForConfig(config)
		if err != nil {
			return err
		}
		return d.RESTClient().Get().AbsPath("/readyz").Do(t.Context()).Error()
	})
	if c.client, err = dynamic.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	c.learn(t, config)
	for module, folder := range resourceDefinitions {
		out, err := exec.Command("go", "mod", "download", "-json", module).Output()
		var where struct{ Dir string }
		if err = errors.Join(err, json.Unmarshal(out, &where)); err != nil {
			t.Fatalf("%s: %v", module, err)
		}
		files, _ := filepath.Glob(filepath.Join(where.Dir, folder, "*.yaml"))
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(text), "\nkind: CustomResourceDefinition\n") {
				continue
			}
			if _, err := c.apply(t.Context(), "", string(text), false); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
		}
	}
	waitFor(t, "the custom resources", func() error {
		c.learn(t, config)
		for _, resource := range []string{"servicemonitors", "podmonitors", "prometheusrules", "httproutes", "scaledobjects"} {
			if _, err := c.mapper.KindFor(schema.GroupVersionResource{Resource: resource}); err != nil {
				return err
			}
		}
		return nil
	})
	c.warned() // of the definitions
	return c
}

// learn asks for the kinds that the server has.
func (c *cluster) learn(t *testing.T, config *rest.Config) {
	t.Helper()
	d, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	groups, err := restmapper.GetAPIGroupResources(d)
	if err != nil {
		t.Fatal(err)
	}
	c.mapper = restmapper.NewDiscoveryRESTMapper(groups)
}

func waitFor(t *testing.T, what string, done func() error) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(200 * time.Millisecond) { // between two looks
		err := done()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s: %v", what, err)
		}
	}
}

// apply is kubectl apply --server-side --validate=strict of one document, whose own words the
// server gets: fields that are there twice, too.
func (c *cluster) apply(ctx context.Context, namespace, doc string, dryRun bool) (*unstructured.Unstructured, error) {
	var o unstructured.Unstructured
	if err := yaml.Unmarshal([]byte(doc), &o.Object); err != nil {
		return nil, err
	}
	mapping, err := c.mapper.RESTMapping(o.GroupVersionKind().GroupKind(), o.GroupVersionKind().Version)
	if err != nil {
		return nil, err
	}
	options := metav1.PatchOptions{FieldManager: "check", FieldValidation: metav1.FieldValidationStrict}
	if dryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	var to dynamic.ResourceInterface = c.client.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		to = c.client.Resource(mapping.Resource).Namespace(namespace)
	}
	applied, err := to.Patch(ctx, o.GetName(), types.ApplyYAMLPatchType, []byte(doc), options)
	if err != nil {
		err = fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
	}
	return applied, err
}

// applyAll applies a manifest, and returns what the server made of it, by kind and name.
func (c *cluster) applyAll(ctx context.Context, namespace, manifest string, dryRun bool) (map[string]*unstructured.Unstructured, error) {
	all := make(map[string]*unstructured.Unstructured)
	docs, err := documents(manifest)
	errs := []error{err}
	for _, doc := range docs {
		o, err := c.apply(ctx, namespace, doc, dryRun)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all[o.GetKind()+" "+o.GetName()] = o
	}
	return all, errors.Join(errs...)
}

// namespace makes one in which pods must keep to the strictest of the security standards.
func (c *cluster) namespace(t *testing.T, name string) {
	t.Helper()
	doc := fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: %s, labels: {pod-security.kubernetes.io/enforce: restricted, pod-security.kubernetes.io/warn: restricted}}}", name)
	if _, err := c.apply(t.Context(), "", doc, false); err != nil {
		t.Fatal(err)
	}
}

func TestAServerTakesEverySet(t *testing.T) {
	c := startCluster(t)
	sets := valueSets(t)
	for i, name := range slices.Sorted(maps.Keys(sets)) {
		t.Run(name, func(t *testing.T) {
			namespace := fmt.Sprintf("set-%d", i)
			c.namespace(t, namespace)
			manifest, err := render(sets[name])
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.applyAll(t.Context(), namespace, manifest, true); err != nil {
				t.Error("dry run:", err)
			}
			first, err := c.applyAll(t.Context(), namespace, manifest, false)
			if err != nil {
				t.Error(err)
			}
			again, err := c.applyAll(t.Context(), namespace, manifest, false)
			if err != nil {
				t.Error(err)
			}
			for name, o := range first {
				if again[name] == nil || again[name].GetResourceVersion() != o.GetResourceVersion() {
					t.Errorf("%s changes when it is applied again", name)
				}
			}
			for _, text := range c.warned() {
				t.Errorf("the server warns: %s", text)
			}
		})
	}
	t.Run("upgrade", func(t *testing.T) { upgrades(t, c) })
	t.Run("pods", func(t *testing.T) { podsAreAdmitted(t, c) })
	t.Run("planted faults", func(t *testing.T) { faultsAreRefused(t, c) })
}

// upgrades goes from one set to another with the same name, as helm upgrade does: selectors
// must not change with the options.
func upgrades(t *testing.T, c *cluster) {
	c.namespace(t, "upgrade")
	for _, values := range []string{"", valueSets(t)["scaled by KEDA"], valueSets(t)["tokens with a key set"], ""} {
		manifest, err := render(values)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.applyAll(t.Context(), "upgrade", manifest, false); err != nil {
			t.Error(err)
		}
	}
}

// podsAreAdmitted plays the controller: the pods of both programs pass the restricted standard.
func podsAreAdmitted(t *testing.T, c *cluster) {
	c.namespace(t, "pods")
	manifest, err := render("")
	if err != nil {
		t.Fatal(err)
	}
	all, err := c.applyAll(t.Context(), "pods", manifest, false)
	if err != nil {
		t.Fatal(err)
	}
	pod := func(deployment string, alter func(spec map[string]any)) error {
		template, _, _ := unstructured.NestedMap(all["Deployment "+deployment].Object, "spec", "template")
		template["apiVersion"], template["kind"] = "v1", "Pod"
		template["metadata"].(map[string]any)["name"] = deployment
		alter(template["spec"].(map[string]any))
		text, err := yaml.Marshal(template)
		if err != nil {
			return err
		}
		_, err = c.apply(t.Context(), "pods", string(text), true)
		return err
	}
	for _, name := range []string{"md-tickcast-streamer", "md-tickcast-feed"} {
		if err := pod(name, func(map[string]any) {}); err != nil {
			t.Error(err)
		}
		if err := pod(name, func(spec map[string]any) { spec["hostNetwork"] = true }); err == nil || !strings.Contains(err.Error(), "restricted") {
			t.Errorf("%s on the host's network: %v", name, err)
		}
	}
}

// faultsAreRefused shows that the server is asked at all, and what it finds that schemas do not.
func faultsAreRefused(t *testing.T, c *cluster) {
	c.namespace(t, "faults")
	manifest, err := render(valueSets(t)["full"])
	if err != nil {
		t.Fatal(err)
	}
	keda, err := render(valueSets(t)["scaled by KEDA"])
	if err != nil {
		t.Fatal(err)
	}
	manifest += strings.ReplaceAll(keda, "md-tickcast", "other")
	for _, tt := range []struct{ name, old, new, want string }{
		{"an unknown field", "minReadySeconds:", "minReadySecond:", "minReadySecond"},
		{"a field twice", "revisionHistoryLimit: 5", "revisionHistoryLimit: 5\n  revisionHistoryLimit: 6", "already set"},
		{"a number for a name", "serviceAccountName: quotes", "serviceAccountName: 7", "serviceAccountName"},
		{"a selector that misses its pods", "matchLabels:\n      app.kubernetes.io/name: tickcast\n      app.kubernetes.io/instance: \"md\"\n      app.kubernetes.io/component: streamer\n  template:", "matchLabels: {app: other}\n  template:", "does not match template"},
		{"a rollout that cannot move", "maxSurge: 1", "maxSurge: 0", "maxUnavailable"},
		{"fewer at most than at least", "maxReplicas: 40", "maxReplicas: 2", "maxReplicas"},
		{"a port name of over 15 letters", "{name: stream, containerPort: 8080}", "{name: stream-to-subscribers, containerPort: 8080}", "no more than 15"},
		{"a port that is none", "containerPort: 8080", "containerPort: 80800", "65535"},
		{"a mount of nothing", "- {name: tls, mountPath", "- {name: certificate, mountPath", "volumeMounts"},
		{"a preStop longer than the grace", "sleep: {seconds: 10}", "sleep: {seconds: 1000}", "terminationGracePeriodSeconds"},
		{"a policy for a port without a name", "{port: admin, protocol: TCP}", "{port: admin_, protocol: TCP}", "port"},
		{"a privileged container", "allowPrivilegeEscalation: false", "privileged: true", "privileged"},
		{"a timeout of words", "request: 0s", "request: for ever", "request"},
		{"an interval of words", "interval: 30s", "interval: often", "interval"},
		{"a rule without a query", "expr:", "query:", "query"},
		{"a scaler without a type", "- type: prometheus", "- typ: prometheus", "typ"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !strings.Contains(manifest, tt.old) {
				t.Fatalf("the chart has no %q to alter", tt.old)
			}
			_, err := c.applyAll(t.Context(), "faults", strings.Replace(manifest, tt.old, tt.new, 1), true)
			found := fmt.Sprint(err, c.warned())
			if !strings.Contains(found, tt.want) {
				t.Errorf("found %q, want %q", found, tt.want)
			}
			t.Logf("refused: %.200s", found)
		})
	}
}
