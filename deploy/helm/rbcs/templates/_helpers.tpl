{{/* The name of everything: the release's, or release-rbcs where that does not say it. */}}
{{- define "rbcs.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Labels that select pods: they never change. Takes (list $ COMPONENT). */}}
{{- define "rbcs.selector" -}}
{{- $ := index . 0 -}}
app.kubernetes.io/name: {{ default $.Chart.Name $.Values.nameOverride }}
app.kubernetes.io/instance: {{ $.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* Labels of every object. Takes (list $ COMPONENT). */}}
{{- define "rbcs.labels" -}}
{{- $ := index . 0 -}}
{{ include "rbcs.selector" . }}
app.kubernetes.io/version: {{ default $.Chart.AppVersion $.Values.image.tag | trunc 63 | trimAll "-_." | quote }}
app.kubernetes.io/managed-by: {{ $.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $.Chart.Name $.Chart.Version }}
{{- with $.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels of pods: a new version of the chart alone does not restart them. Takes (list $ COMPONENT). */}}
{{- define "rbcs.podLabels" -}}
{{- $ := index . 0 -}}
{{ include "rbcs.selector" . }}
{{- with merge (dict) (dig "podLabels" dict (index $.Values (index . 1) | default dict)) $.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "rbcs.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{/* Which pods the Service leads to. */}}
{{- define "rbcs.front" -}}
{{ if .Values.gateway.enabled }}gateway{{ else }}balance{{ end }}
{{- end -}}

{{/* The name of a component's ServiceAccount. Takes (list $ COMPONENT). */}}
{{- define "rbcs.serviceAccount" -}}
{{- $ := index . 0 -}}
{{- $component := index . 1 -}}
{{- $account := (index $.Values $component).serviceAccount -}}
{{- if $account.name -}}
{{ $account.name }}
{{- else if $account.create -}}
{{ include "rbcs.fullname" $ }}-{{ $component }}
{{- else -}}
default
{{- end -}}
{{- end -}}

{{/* What every pod of the program has: who it runs as, where it runs, what it is given. */}}
{{- define "rbcs.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "rbcs.containerSecurity" -}}
runAsNonRoot: true
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* A quantity of memory in bytes, times 0.9: what is left is for what Go does not count. */}}
{{- define "rbcs.memoryLimit" -}}
{{- $units := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 -}}
{{- $quantity := kindIs "string" . | ternary . (printf "%d" (int64 .)) -}}{{/* a number of YAML is a float */}}
{{- $number := regexFind "^[0-9.]+" $quantity -}}
{{- mulf (float64 $number) (index $units (trimPrefix $number $quantity)) 0.9 | floor | int64 -}}
{{- end -}}

{{/* The Go runtime is told the container's limits. Takes the resources. */}}
{{- define "rbcs.runtimeEnv" -}}
{{- with dig "limits" "memory" "" . }}
- name: GOMEMLIMIT # 90 % of the limit: the collector works harder before the kernel kills
  value: {{ include "rbcs.memoryLimit" . | quote }}
{{- end }}
{{- if dig "limits" "cpu" "" . }}
- name: GOMAXPROCS # rounded up
  valueFrom: {resourceFieldRef: {resource: limits.cpu}}
{{- end }}
{{- end -}}

{{/* Certificates of authorities, in one folder that Go reads beside the image's. */}}
{{- define "rbcs.caEnv" -}}
{{- if .Values.trustedCAs }}
- {name: SSL_CERT_DIR, value: /etc/rbcs/ca}
{{- end }}
{{- end -}}

{{- define "rbcs.caMount" -}}
{{- if .Values.trustedCAs }}
- {name: ca, mountPath: /etc/rbcs/ca, readOnly: true}
{{- end }}
{{- end -}}

{{- define "rbcs.caVolume" -}}
{{- if .Values.trustedCAs }}
- name: ca
  projected:
    sources:
      {{- range .Values.trustedCAs }}
      - {{ if .configMap }}configMap: {name: {{ .configMap }}}{{ else }}secret: {name: {{ .secret }}}{{ end }}
      {{- end }}
{{- end }}
{{- end -}}

{{/* The three probes. Liveness never asks the database, since a restart mends none, but for the
     try-out's. Takes (list $ COMPONENT). */}}
{{- define "rbcs.probes" -}}
{{- $ := index . 0 -}}
startupProbe:
  httpGet: {path: /livez, port: http}
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: 60
livenessProbe:
  {{- if and (eq (index . 1) "balance") $.Values.tryout.postgresql.enabled (not $.Values.tryout.postgresql.storage) }}
  # The try-out's database comes back empty when its pod is lost, and who starts migrates it.
  httpGet: {path: /readyz, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
  {{- else }}
  httpGet: {path: /livez, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
  {{- end }}
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 2
  timeoutSeconds: 3
  failureThreshold: 2
{{- end -}}

{{/* Takes (list $ COMPONENT). The hash of the template makes each revision spread by itself. */}}
{{- define "rbcs.topologySpread" -}}
{{- $ := index . 0 -}}
{{- $component := index . 1 -}}
{{- range $key, $when := dict "topology.kubernetes.io/zone" $.Values.topologySpread.zone "kubernetes.io/hostname" $.Values.topologySpread.node }}
- maxSkew: 1
  topologyKey: {{ $key }}
  whenUnsatisfiable: {{ $when }}
  matchLabelKeys: [pod-template-hash]
  labelSelector:
    matchLabels:
      {{- include "rbcs.selector" (list $ $component) | nindent 6 }}
{{- end }}
{{- end -}}
