package check

import (
	"fmt"
	"slices"
	"strings"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

// faults gathers what is wrong with a set of objects that are each well-formed: what no
// schema sees, because it lies between two objects or between two fields.
type faults struct {
	objects []runtime.Object
	found   []string
}

func miswired(objects []runtime.Object) []string {
	f := &faults{objects: objects}
	for _, d := range of[apps.Deployment](objects) {
		f.deployment(d)
	}
	for _, s := range of[core.Service](objects) {
		f.service(s)
	}
	for name, p := range of[policy.PodDisruptionBudget](objects) {
		f.pods("PodDisruptionBudget "+name, p.Spec.Selector)
	}
	for _, p := range of[networking.NetworkPolicy](objects) {
		f.networkPolicy(p)
	}
	for name, h := range of[autoscaling.HorizontalPodAutoscaler](objects) {
		f.autoscaler("HorizontalPodAutoscaler "+name, h.Spec.ScaleTargetRef.Name, *h.Spec.MinReplicas, h.Spec.MaxReplicas)
	}
	for name, s := range of[scaledObject](objects) {
		f.autoscaler("ScaledObject "+name, s.Spec.ScaleTargetRef.Name, s.Spec.MinReplicaCount, s.Spec.MaxReplicaCount)
	}
	f.routes()
	f.monitors()
	f.names()
	slices.Sort(f.found)
	return f.found
}

func (f *faults) add(wrong bool, format string, args ...any) {
	if wrong {
		f.found = append(f.found, fmt.Sprintf(format, args...))
	}
}

// names looks at what follows from the names that a user chose.
func (f *faults) names() {
	for _, obj := range f.objects {
		o := obj.(meta.Object)
		for key, value := range o.GetLabels() {
			for _, fault := range validation.IsValidLabelValue(value) {
				f.add(true, "%T %s: label %s: %s", obj, o.GetName(), key, fault)
			}
		}
	}
}

func selects(s *meta.LabelSelector, with map[string]string) bool {
	sel, err := meta.LabelSelectorAsSelector(s)
	return err == nil && sel.Matches(labels.Set(with))
}

func (f *faults) deployment(d *apps.Deployment) {
	name, pod := "Deployment "+d.Name, d.Spec.Template.Spec
	f.add(!selects(d.Spec.Selector, d.Spec.Template.Labels), "%s: its selector does not match its pods", name)
	if r := d.Spec.Strategy.RollingUpdate; r != nil {
		f.add(*r.MaxSurge == intstr.FromInt32(0) && *r.MaxUnavailable == intstr.FromInt32(0), "%s: a rollout may neither add nor take away a pod", name)
	}
	volumes := make(map[string]bool)
	for _, v := range pod.Volumes {
		volumes[v.Name] = true
		if v.ConfigMap != nil {
			f.add(of[core.ConfigMap](f.objects)[v.ConfigMap.Name] == nil, "%s: there is no ConfigMap %s", name, v.ConfigMap.Name)
		}
	}
	f.add(of[core.ServiceAccount](f.objects)[pod.ServiceAccountName] == nil, "%s: there is no ServiceAccount %q", name, pod.ServiceAccountName)
	for _, c := range pod.Containers {
		for _, m := range c.VolumeMounts {
			f.add(!volumes[m.Name], "%s: there is no volume %s", name, m.Name)
		}
		for kind, p := range map[string]*core.Probe{"startup": c.StartupProbe, "liveness": c.LivenessProbe, "readiness": c.ReadinessProbe} {
			f.add(p == nil, "%s: no %s probe", name, kind)
			if p != nil {
				f.add(!hasPort(pod, p.HTTPGet.Port.StrVal), "%s: the %s probe asks port %s", name, kind, &p.HTTPGet.Port)
				f.add(kind != "readiness" && p.HTTPGet.Path != "/healthz", "%s: the %s probe asks %s, which knows of NATS", name, kind, p.HTTPGet.Path)
			}
		}
		for _, p := range c.Ports {
			f.add(len(p.Name) > 15, "%s: the port name %q is over 15 characters", name, p.Name)
		}
		f.grace(name, pod, c)
	}
}

// grace says that the pod is killed before it has had the time that it is promised.
func (f *faults) grace(name string, pod core.PodSpec, c core.Container) {
	need := int64(0)
	if c.Lifecycle != nil && c.Lifecycle.PreStop != nil {
		need += c.Lifecycle.PreStop.Sleep.Seconds
	}
	for _, arg := range c.Args {
		var drain int64
		if _, err := fmt.Sscanf(arg, "--drain=%ds", &drain); err == nil {
			need += drain + 15
		}
	}
	f.add(*pod.TerminationGracePeriodSeconds < need, "%s: %d s of grace, but it may take %d", name, *pod.TerminationGracePeriodSeconds, need)
}

func hasPort(pod core.PodSpec, name string) bool {
	return slices.ContainsFunc(pod.Containers, func(c core.Container) bool {
		return slices.ContainsFunc(c.Ports, func(p core.ContainerPort) bool { return p.Name == name })
	})
}

// pods returns the pods that a selector means, of which there must be some.
func (f *faults) pods(who string, s *meta.LabelSelector) (found []core.PodSpec) {
	for _, d := range of[apps.Deployment](f.objects) {
		if selects(s, d.Spec.Template.Labels) {
			found = append(found, d.Spec.Template.Spec)
		}
	}
	f.add(len(found) != 1, "%s selects the pods of %d Deployments", who, len(found))
	return found
}

func (f *faults) ports(who string, s *meta.LabelSelector, names ...string) {
	for _, pod := range f.pods(who, s) {
		for _, name := range names {
			f.add(!hasPort(pod, name), "%s: the pods have no port %q", who, name)
		}
	}
}

func (f *faults) service(s *core.Service) {
	for _, fault := range validation.IsDNS1035Label(s.Name) {
		f.add(true, "Service %s: %s", s.Name, fault)
	}
	for _, p := range s.Spec.Ports {
		f.ports("Service "+s.Name, &meta.LabelSelector{MatchLabels: s.Spec.Selector}, p.TargetPort.StrVal)
	}
}

func (f *faults) networkPolicy(p *networking.NetworkPolicy) {
	for _, rule := range p.Spec.Ingress {
		for _, port := range rule.Ports {
			f.ports("NetworkPolicy "+p.Name, &p.Spec.PodSelector, port.Port.StrVal)
		}
	}
}

func (f *faults) autoscaler(who, target string, least, most int32) {
	d := of[apps.Deployment](f.objects)[target]
	f.add(d == nil, "%s scales %s, which is not there", who, target)
	f.add(least > most, "%s: at least %d, at most %d", who, least, most)
	if d != nil {
		f.add(d.Spec.Replicas != nil, "Deployment %s: it names replicas, against its autoscaler", d.Name)
	}
}

// routes looks from the outside in.
func (f *faults) routes() {
	services := of[core.Service](f.objects)
	reach := func(who, service string, ok func(core.ServicePort) bool) {
		s := services[service]
		f.add(s == nil, "%s leads to Service %s, which is not there", who, service)
		if s != nil {
			f.add(!slices.ContainsFunc(s.Spec.Ports, ok), "%s leads to a port that Service %s does not have", who, service)
		}
	}
	for name, i := range of[networking.Ingress](f.objects) {
		for _, r := range i.Spec.Rules {
			for _, p := range r.HTTP.Paths {
				reach("Ingress "+name, p.Backend.Service.Name, func(sp core.ServicePort) bool { return sp.Name == p.Backend.Service.Port.Name })
			}
		}
	}
	for name, r := range of[gateway.HTTPRoute](f.objects) {
		for _, rule := range r.Spec.Rules {
			for _, b := range rule.BackendRefs {
				reach("HTTPRoute "+name, string(b.Name), func(sp core.ServicePort) bool { return sp.Port == *b.Port })
			}
		}
	}
}

func (f *faults) monitors() {
	for name, m := range of[monitoring.ServiceMonitor](f.objects) {
		var found []string
		for _, s := range of[core.Service](f.objects) {
			if selects(&m.Spec.Selector, s.Labels) {
				for _, p := range s.Spec.Ports {
					found = append(found, p.Name)
				}
			}
		}
		f.add(strings.Join(found, " ") != m.Spec.Endpoints[0].Port, "ServiceMonitor %s wants port %s and selects %v", name, m.Spec.Endpoints[0].Port, found)
	}
	for name, m := range of[monitoring.PodMonitor](f.objects) {
		f.ports("PodMonitor "+name, &m.Spec.Selector, *m.Spec.PodMetricsEndpoints[0].Port)
	}
}
