{{- define "tickcast.fullname" -}}
{{- $name := .Values.fullnameOverride | default (contains .Chart.Name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name)) -}}
{{- $name | trunc 50 | trimSuffix "-" -}}
{{- end }}

{{/* The labels that select a component's pods: they never change. */}}
{{- define "tickcast.selector" -}}
app.kubernetes.io/name: tickcast
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "tickcast.labels" -}}
{{ include "tickcast.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "tickcast.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* A program's options file. Helm reads numbers as floats, which YAML would write as 1e+06. */}}
{{- define "tickcast.options" -}}
{{- range $name, $value := . }}
{{ $name }}: {{ if and (kindIs "float64" $value) (eq (floor $value) $value) }}{{ int64 $value }}{{ else }}{{ toJson $value }}{{ end }}
{{- else }}
{}
{{- end }}
{{- end }}

{{/* The server addresses, for both programs. */}}
{{- define "tickcast.natsEnv" -}}
- name: TICKCAST_NATS
  valueFrom:
    secretKeyRef:
      {{- with .Values.nats.existingSecret }}
      name: {{ .name | default (printf "%s-nats" (include "tickcast.fullname" $)) }}
      key: {{ ternary .key "url" (ne .name "") }}
      {{- end }}
{{- end }}

{{/* 80 % of a memory limit in Mi or Gi: what is left is for stacks and the kernel's share. */}}
{{- define "tickcast.memoryLimitEnv" -}}
{{- $mib := trimSuffix "Mi" . | int -}}
{{- if hasSuffix "Gi" . }}{{ $mib = mul 1024 (trimSuffix "Gi" . | int) }}{{ end -}}
- name: GOMEMLIMIT
  value: {{ printf "%dMiB" (div (mul $mib 80) 100) }}
{{- end }}

{{- define "tickcast.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "tickcast.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* What says where a component's pods run. */}}
{{- define "tickcast.placement" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/*
No probe asks for NATS but readiness: a node without it keeps its subscribers, who would
otherwise all come back at once.
*/}}
{{- define "tickcast.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: admin}
  periodSeconds: 2
  failureThreshold: 30
livenessProbe:
  httpGet: {path: /healthz, port: admin}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 3
  timeoutSeconds: 2
  failureThreshold: 2
{{- end }}
