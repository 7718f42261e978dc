{{- define "tickcast.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 63 | trimAll "-._" }}
{{- end }}

{{/* It begins Services' names, which begin with a letter, have no dots and end at 63. */}}
{{- define "tickcast.fullname" -}}
{{- $own := include "tickcast.name" . | lower | replace "." "-" | replace "_" "-" -}}
{{- $release := .Release.Name | replace "." "-" -}}
{{- $name := .Values.fullnameOverride | default (contains $own $release | ternary $release (printf "%s-%s" $release $own)) -}}
{{- regexMatch "^[0-9]" $name | ternary "t-" "" }}{{ $name | trunc 48 | trimAll "-" }}
{{- end }}

{{/* The labels that select a component's pods: they never change. */}}
{{- define "tickcast.selector" -}}
app.kubernetes.io/name: {{ include "tickcast.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
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

{{/* Which key of a Secret with NATS users is a program's. */}}
{{- define "tickcast.natsKey" -}}
{{- eq .component "feed" | ternary .secret.feedKey "" | default .secret.key }}
{{- end }}

{{/* A program's server addresses. */}}
{{- define "tickcast.natsEnv" -}}
- name: TICKCAST_NATS
  valueFrom:
    secretKeyRef:
      {{- with .root.Values.nats.existingSecret }}
      name: {{ .name | default (printf "%s-nats" (include "tickcast.fullname" $.root)) | quote }}
      key: {{ .name | empty | ternary "url" (include "tickcast.natsKey" (dict "component" $.component "secret" .)) | quote }}
      {{- end }}
{{- end }}

{{/* Of the server addresses alone: what is in an existing Secret cannot be seen from here. */}}
{{- define "tickcast.natsChecksum" -}}
{{- if not .Values.nats.existingSecret.name }}
checksum/nats: {{ .Values.nats.url | sha256sum }}
{{- end }}
{{- end }}

{{- define "tickcast.natsArgs" -}}
{{- with .root.Values.nats }}
{{- if .caSecret.name }}
- --nats-ca=/etc/tickcast-nats-ca/{{ .caSecret.key }}
{{- end }}
{{- if .credentialsSecret.name }}
- --nats-credentials=/etc/tickcast-nats-credentials/{{ include "tickcast.natsKey" (dict "component" $.component "secret" .credentialsSecret) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "tickcast.natsMounts" -}}
{{- with .Values.nats }}
{{- if .caSecret.name }}
- {name: nats-ca, mountPath: /etc/tickcast-nats-ca, readOnly: true}
{{- end }}
{{- if .credentialsSecret.name }}
- {name: nats-credentials, mountPath: /etc/tickcast-nats-credentials, readOnly: true}
{{- end }}
{{- end }}
{{- end }}

{{- define "tickcast.natsVolumes" -}}
{{- with .root.Values.nats }}
{{- if .caSecret.name }}
- name: nats-ca
  secret: {secretName: {{ .caSecret.name | quote }}, defaultMode: 0440}
{{- end }}
{{- if .credentialsSecret.name }}
- name: nats-credentials
  secret:
    secretName: {{ .credentialsSecret.name | quote }}
    defaultMode: 0440
    {{- $key := include "tickcast.natsKey" (dict "component" $.component "secret" .credentialsSecret) | quote }}
    items: [{key: {{ $key }}, path: {{ $key }}}]
{{- end }}
{{- end }}
{{- end }}

{{- define "tickcast.tracesArgs" -}}
{{- with .Values.traces.every }}
- --trace-every={{ int64 . }}
{{- end }}
{{- end }}

{{- define "tickcast.tracesEnv" -}}
{{- with .Values.traces }}
{{- if .every }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ .endpoint | quote }}
{{- with .headersSecret }}
{{- if .name }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom: {secretKeyRef: {name: {{ .name | quote }}, key: {{ .key | quote }}}}
{{- end }}
{{- end }}
{{- if .caSecret.name }}
- name: OTEL_EXPORTER_OTLP_CERTIFICATE
  value: /etc/tickcast-traces-ca/{{ .caSecret.key }}
{{- end }}
- name: K8S_POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: "k8s.namespace.name={{ $.Release.Namespace }},k8s.pod.name=$(K8S_POD_NAME)
    {{- range $name, $value := .attributes }},{{ $name }}={{ $value }}{{ end }}"
{{- end }}
{{- end }}
{{- end }}

{{- define "tickcast.tracesMounts" -}}
{{- with .Values.traces }}
{{- if and .every .caSecret.name }}
- {name: traces-ca, mountPath: /etc/tickcast-traces-ca, readOnly: true}
{{- end }}
{{- end }}
{{- end }}

{{- define "tickcast.tracesVolumes" -}}
{{- with .Values.traces }}
{{- if and .every .caSecret.name }}
- name: traces-ca
  secret: {secretName: {{ .caSecret.name | quote }}, defaultMode: 0440}
{{- end }}
{{- end }}
{{- end }}

{{/* 80 % of a memory limit: what is left is for stacks and the kernel's share. */}}
{{- define "tickcast.memoryLimitEnv" -}}
{{- with dig "resources" "limits" "memory" "" . }}
{{- $unit := regexReplaceAll "^[0-9.]+" . "" }}
{{- $scale := get (dict "_" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776) ($unit | default "_") }}
- name: GOMEMLIMIT
  value: {{ printf "%dMiB" (divf (mulf (trimSuffix $unit .) $scale 0.8) 1048576 | int64) }}
{{- end }}
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
priorityClassName: {{ . | quote }}
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

{{/* Up at once, down one node at a time: each step down moves that node's subscribers. */}}
{{- define "tickcast.scalingBehavior" -}}
scaleUp:
  stabilizationWindowSeconds: 0
  selectPolicy: Max
  policies:
    - {type: Percent, value: 100, periodSeconds: 60}
    - {type: Pods, value: 2, periodSeconds: 60}
scaleDown:
  stabilizationWindowSeconds: {{ .scaleDownAfterSeconds }}
  selectPolicy: Min
  policies:
    - {type: Pods, value: 1, periodSeconds: {{ .scaleDownEverySeconds }}}
{{- end }}
