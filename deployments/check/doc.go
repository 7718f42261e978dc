// Package check holds what is deployed to what it claims: the chart renders into objects that
// Kubernetes takes and that fit each other, its programs take the options that it gives them,
// alerts fire, dashboards ask for metrics that there are. It is a module of its own, so that
// the programs do not depend on Helm. Run it by make check-deploy.
package check
