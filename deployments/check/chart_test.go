package check

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/v2/loader"
	core "k8s.io/api/core/v1"
)

func TestObjectsAreSound(t *testing.T) {
	forEachSet(t, func(t *testing.T, manifest string) {
		objects, err := decode(manifest)
		if err != nil {
			t.Fatal(err)
		}
		for _, fault := range miswired(objects) {
			t.Error(fault)
		}
	})
}

func TestAnyReleaseNameWillDo(t *testing.T) {
	full, err := os.ReadFile("testdata/values/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"7", "7.quotes", "a.tickcast.b", strings.Repeat("x", 53), strings.Repeat("long-", 10) + "er"} {
		manifest, err := renderAs(name, strings.Replace(string(full), "fullnameOverride: quotes", "", 1))
		if err != nil {
			t.Fatal(err)
		}
		objects, err := decode(manifest)
		if err != nil {
			t.Fatal(err)
		}
		for _, fault := range miswired(objects) {
			t.Errorf("%s: %s", name, fault)
		}
	}
}

func TestGoKnowsFourFifthsOfTheMemory(t *testing.T) {
	for _, tt := range []struct{ limits, want string }{
		{"{memory: 2Gi}", `value: 1638MiB`},
		{"{memory: 1000Mi}", `value: 800MiB`},
		{"{memory: 2.5G}", `value: 1907MiB`},
		{"{memory: '1073741824'}", `value: 819MiB`},
		{"{memory: 1048576Ki}", `value: 819MiB`},
		{"{memory: null}", ""},
		{"null", ""},
	} {
		manifest, err := render("{feed: {enabled: false}, streamer: {resources: {limits: " + tt.limits + "}}}")
		if err != nil {
			t.Fatal(err)
		}
		_, text, found := strings.Cut(manifest, "- name: GOMEMLIMIT\n")
		if found != (tt.want != "") || !strings.HasPrefix(strings.TrimSpace(text), tt.want) {
			t.Errorf("%s: %.40s", tt.limits, text)
		}
	}
	if manifest, err := render("{streamer: {resources: null}, feed: {resources: null}}"); err != nil || strings.Contains(manifest, "GOMEMLIMIT") {
		t.Errorf("without resources: %v\n%s", err, manifest)
	}
}

func TestEachProgramHasItsOwnNATSUser(t *testing.T) {
	manifest, err := render("nats: {existingSecret: {name: users, feedKey: feed}, credentialsSecret: {name: creds, feedKey: feed.creds}}")
	if err != nil {
		t.Fatal(err)
	}
	for program, want := range map[string][2]string{"streamer": {"url", "nats.creds"}, "feed": {"feed", "feed.creds"}} {
		r, _ := runOf(t, manifest, program)
		i := slices.IndexFunc(r.env, func(e core.EnvVar) bool { return e.Name == "TICKCAST_NATS" })
		if ref := r.env[i].ValueFrom.SecretKeyRef; ref.Name != "users" || ref.Key != want[0] {
			t.Errorf("%s reads its servers from %s in %s", program, ref.Key, ref.Name)
		}
		if !slices.Contains(r.args, "--nats-credentials=/etc/tickcast-nats-credentials/"+want[1]) {
			t.Errorf("%s is started with %v", program, r.args)
		}
	}
}

// What a careless change could break is refused by one of the checks above.
func TestPlantedFaultsAreFound(t *testing.T) {
	full, err := os.ReadFile("testdata/values/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := render(string(full))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, old, new, want string }{
		{"an unknown field", "minReadySeconds:", "minReadySecond:", "unknown field"},
		{"a field twice", "revisionHistoryLimit: 5", "revisionHistoryLimit: 5\n  revisionHistoryLimit: 6", "already set"},
		{"a number for a name", "serviceAccountName: quotes", "serviceAccountName: 7", "cannot unmarshal number"},
		{"an unknown kind", "kind: PodMonitor", "kind: PodMonitors", "no kind"},
		{"a selector that misses", "selector:\n    matchLabels:\n      app.kubernetes.io/name: tickcast", "selector:\n    matchLabels:\n      app.kubernetes.io/name: ticker", "does not match its pods"},
		{"a rollout that cannot move", "maxSurge: 1", "maxSurge: 0", "neither add nor take away"},
		{"a probe that knows of NATS", "livenessProbe:\n            httpGet: {path: /healthz", "livenessProbe:\n            httpGet: {path: /readyz", "knows of NATS"},
		{"too little grace", "terminationGracePeriodSeconds: 145", "terminationGracePeriodSeconds: 60", "60 s of grace, but it may take 145"},
		{"a port that is not there", "targetPort: stream", "targetPort: http", `no port "http"`},
		{"a mount of nothing", "- {name: tls, mountPath", "- {name: certificate, mountPath", "no volume certificate"},
		{"fewer at most than at least", "maxReplicas: 40", "maxReplicas: 2", "at least 4, at most 2"},
		{"a monitor of nothing", "      tickcast/endpoint: admin\n  endpoints:", "      tickcast/endpoint: metrics\n  endpoints:", "ServiceMonitor quotes-streamer wants"},
		{"a route to nowhere", "port: 443\n", "port: 8443\n", "does not have"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !strings.Contains(manifest, tt.old) {
				t.Fatalf("the chart has no %q to alter", tt.old)
			}
			found := ""
			objects, err := decode(strings.Replace(manifest, tt.old, tt.new, 1))
			if err != nil {
				found = err.Error()
			} else {
				found = strings.Join(miswired(objects), "\n")
			}
			if !strings.Contains(found, tt.want) {
				t.Errorf("found %q, want %q", found, tt.want)
			}
		})
	}
}

func TestValuesAreChecked(t *testing.T) {
	for _, tt := range []struct{ name, values, want string }{
		{"a misspelt name", "streamer: {replica: 3}", "replica"},
		{"a wrong type", "streamer: {replicas: three}", "replicas"},
		{"an option that is the chart's", "streamer: {config: {addr: ':1'}}", "addr"},
		{"a memory limit that GOMEMLIMIT cannot be reckoned from", "feed: {resources: {limits: {memory: 1e9}}}", "memory"},
		{"tokens without a key", "streamer: {auth: {mode: jwt}}", "auth"},
		{"a recording played twice", "feed: {standby: true, config: {source: replay}}", "feed"},
		{"a name that YAML takes for a number", "nameOverride: '7'", "nameOverride"},
		{"a name that YAML takes for a truth", "fullnameOverride: 'on'", "fullnameOverride"},
		{"a label that selects", "streamer: {podLabels: {app.kubernetes.io/component: node}}", "app.kubernetes.io/component"},
		{"a label that is the chart's", "monitoring: {dashboardLabels: {app.kubernetes.io/name: grafana}}", "app.kubernetes.io/name"},
		{"an annotation that is the chart's", "feed: {podAnnotations: {checksum/config: x}}", "checksum/config"},
		{"traces to nowhere", "traces: {every: 1000}", "endpoint"},
		{"traces begun behind the chart's back", "feed: {config: {trace-every: 10}}", "trace-every"},
		{"an attribute that is two", "traces: {attributes: {a: 'b,c=d'}}", "attributes"},
		{"a collector that is the chart's to name", "feed: {extraEnv: [{name: OTEL_EXPORTER_OTLP_ENDPOINT, value: 'http://x'}]}", "extraEnv"},
		{"an ingress without a host", "ingress: {enabled: true}", "host"},
		{"a route without a gateway", "gateway: {enabled: true}", "parentRefs"},
		{"nothing to scale by", "streamer: {autoscaling: {enabled: true, connectionsPerNode: 0, egressBytesPerSecondPerNode: 0}}", "nothing to scale by"},
		{"a variable that is the chart's", "streamer: {extraEnv: [{name: GOMEMLIMIT, value: '1'}]}", "extraEnv"},
		{"a name that no Service can have", "fullnameOverride: 1st", "fullnameOverride"},
		{"a Service's ports", "streamer: {service: {spec: {ports: []}}}", "ports"},
		{"a kernel setting that is not safe", "streamer: {sysctls: [{name: net.core.somaxconn, value: '1'}]}", "sysctls"},
		{"fewer nodes at most than at least", "streamer: {autoscaling: {enabled: true, minReplicas: 9, maxReplicas: 3}}", "minReplicas is above maxReplicas"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := render(tt.values); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want a word on %s", err, tt.want)
			}
		})
	}
}

// Every value has a line of its own, and the comments say what it does; the schema knows it.
func TestSchemaKnowsEveryValue(t *testing.T) {
	chart, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(chart.Schema, &schema); err != nil {
		t.Fatal(err)
	}
	properties := schema["properties"].(map[string]any)
	for name := range chart.Values {
		if properties[name] == nil {
			t.Errorf("the schema does not know %s", name)
		}
	}
}

// scoreIgnored are rules of kube-score that do not hold here, each with its reason.
var scoreIgnored = []string{
	"container-image-pull-policy",                              // tags are releases, and do not move
	"container-ephemeral-storage-request-and-limit",            // nothing is written: the root is read-only
	"deployment-has-host-podantiaffinity",                      // topology spread does it
	"deployment-replicas", "pod-networkpolicy", "service-type", // some sets have one node, no policy, a NodePort on purpose
}

func TestScoreFindsNothing(t *testing.T) {
	bin := buildKubeScore(t)
	forEachSet(t, func(t *testing.T, manifest string) {
		for _, fault := range score(t, bin, manifest) {
			t.Error(fault)
		}
	})
}

func TestScoreFindsAPlantedFault(t *testing.T) {
	manifest, err := render("")
	if err != nil {
		t.Fatal(err)
	}
	open := strings.ReplaceAll(manifest, "readOnlyRootFilesystem: true", "privileged: true")
	if found := strings.Join(score(t, buildKubeScore(t), open), "\n"); !strings.Contains(found, "rivileged") {
		t.Errorf("a privileged container passes: %q", found)
	}
}

// buildKubeScore returns the program: go run would cost more than the score.
func buildKubeScore(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	install := exec.Command("go", "install", "github.com/zegl/kube-score/cmd/kube-score@v1.20.0")
	install.Env = append(os.Environ(), "GOBIN="+dir)
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return filepath.Join(dir, "kube-score")
}

// score asks kube-score for what it calls critical or a warning.
func score(t *testing.T, bin, manifest string) (found []string) {
	t.Helper()
	args := []string{"score", "--output-format", "json", "--ignore-container-cpu-limit"} // throttling delays ticks
	for _, rule := range scoreIgnored {
		args = append(args, "--ignore-test", rule)
	}
	cmd := exec.Command(bin, append(args, "-")...)
	cmd.Stdin = strings.NewReader(manifest)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, _ := cmd.Output() // the exit status says no more than the list
	var objects []struct {
		ObjectName string `json:"object_name"`
		Checks     []struct {
			Check    struct{ ID string }
			Grade    int
			Skipped  bool
			Comments []struct{ Path, Summary string }
		}
	}
	if err := json.Unmarshal(out, &objects); err != nil {
		t.Fatalf("kube-score: %v\n%s%s", err, out, &stderr)
	}
	for _, o := range objects {
		for _, c := range o.Checks {
			if c.Skipped || c.Grade > 5 {
				continue
			}
			for _, comment := range c.Comments {
				found = append(found, o.ObjectName+" "+c.Check.ID+": "+comment.Path+" "+comment.Summary)
			}
		}
	}
	return found
}
