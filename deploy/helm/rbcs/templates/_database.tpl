{{/* The settings of the database that migrations use: their own, or else the service's. */}}
{{- define "rbcs.migrationDatabase" -}}
{{- $own := .Values.migration.database -}}
{{- $set := or $own.url $own.secret.name -}}
url: {{ ternary $own.url .Values.database.url (not (empty $set)) | quote }}
secret: {{ toJson (ternary $own.secret .Values.database.secret (not (empty $set))) }}
auth: {{ default (ternary "password" .Values.database.auth (not (empty $set))) $own.auth }}
passwordSecret: {{ toJson (ternary $own.passwordSecret .Values.database.passwordSecret (not (empty (or $set $own.passwordSecret.name)))) }}
{{- end -}}

{{/* The flags that a database's settings come to. */}}
{{- define "rbcs.databaseArgs" -}}
{{- if ne .auth "password" }}
- --store-auth={{ .auth }}
{{- end }}
{{- if .passwordSecret.name }}
- --store-password-file=/etc/rbcs/store/password
{{- end }}
{{- end -}}

{{/* RBCS_STORE: from a Secret, or plain where it has no password. Takes (list $ DATABASE). */}}
{{- define "rbcs.databaseEnv" -}}
{{- $ := index . 0 -}}
{{- $database := index . 1 -}}
- name: RBCS_STORE
{{- if $.Values.tryout.postgresql.enabled }}
  value: postgres://rbcs@{{ include "rbcs.fullname" $ }}-tryout-postgresql:5432/rbcs?sslmode=disable
{{- else if $database.secret.name }}
  valueFrom: {secretKeyRef: {name: {{ $database.secret.name }}, key: {{ $database.secret.key }}}}
{{- else }}
  value: {{ $database.url | quote }}
{{- end }}
{{- end -}}

{{- define "rbcs.databaseMount" -}}
{{- if .passwordSecret.name }}
- {name: store-password, mountPath: /etc/rbcs/store, readOnly: true}
{{- end }}
{{- end -}}

{{- define "rbcs.databaseVolume" -}}
{{- if .passwordSecret.name }}
- name: store-password
  secret: {secretName: {{ .passwordSecret.name }}, defaultMode: 0440, items: [{key: {{ .passwordSecret.key }}, path: password}]}
{{- end }}
{{- end -}}

{{/* Refuses what the schema cannot say, in words. */}}
{{- define "rbcs.check" -}}
{{- range $where, $url := dict "database.url" .Values.database.url "migration.database.url" .Values.migration.database.url "redis.url" .Values.redis.url -}}
{{- if regexMatch "://[^/?#@]*:[^/?#@]*@|[?&](ssl)?password=" $url -}}
{{- fail (printf "%s has a password in it, and values are not the place for one: put it into a Secret, and name that" $where) -}}
{{- end -}}
{{- end -}}
{{- $tryout := .Values.tryout.postgresql.enabled -}}
{{- $given := or .Values.database.url .Values.database.secret.name -}}
{{- if and (not $given) (not $tryout) -}}
{{- fail "no database: set database.url or database.secret.name, or tryout.postgresql.enabled=true to try it out" -}}
{{- end -}}
{{- if and $given $tryout -}}
{{- fail "two databases: database.* and tryout.postgresql.enabled are both set; leave one out" -}}
{{- end -}}
{{- if and .Values.tryout.redis.enabled (or .Values.redis.url .Values.redis.secret.name) -}}
{{- fail "two caches: redis.* and tryout.redis.enabled are both set; leave one out" -}}
{{- end -}}
{{- $labels := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart" -}}
{{- range $where, $given := dict "commonLabels" .Values.commonLabels "balance.podLabels" .Values.balance.podLabels "gateway.podLabels" .Values.gateway.podLabels -}}
{{- range $label, $_ := $given -}}
{{- if has $label $labels -}}
{{- fail (printf "%s has %s, which the chart sets itself" $where $label) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $code, $_ := .Values.currencies -}}
{{- if not (regexMatch "^[A-Z][A-Z0-9]{1,15}$" $code) -}}
{{- fail (printf "currencies has %s: a code is a letter and 1 to 15 of A to Z and 0 to 9" $code) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.service.nodePort (eq .Values.service.type "ClusterIP") -}}
{{- fail "service.nodePort needs service.type NodePort or LoadBalancer" -}}
{{- end -}}
{{- range $component := list "balance" "gateway" -}}
{{- $scale := (index $.Values $component).autoscaling -}}
{{- if and $scale.enabled (or (eq $component "balance") $.Values.gateway.enabled) -}}
{{- if not (or $scale.cpuPercent $scale.pendingTransactions $scale.commitLatencySeconds $scale.extraMetrics) -}}
{{- fail (printf "%s.autoscaling has nothing to scale by, and Kubernetes would take 80 %% of the CPU: set cpuPercent or another metric, or enabled=false" $component) -}}
{{- end -}}
{{- $resources := (index $.Values $component).resources -}}
{{- if and $scale.cpuPercent (not (or (dig "requests" "cpu" "" $resources) (dig "limits" "cpu" "" $resources))) -}}
{{- fail (printf "%s.autoscaling.cpuPercent is a share of resources.requests.cpu, which is not set" $component) -}}
{{- end -}}
{{- end -}}
{{- if gt (int $scale.minReplicas) (int $scale.maxReplicas) -}}
{{- fail (printf "%s.autoscaling: minReplicas %v is more than maxReplicas %v" $component $scale.minReplicas $scale.maxReplicas) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (empty .Values.httpRoute.parentRefs) -}}
{{- fail "httpRoute.enabled needs httpRoute.parentRefs: the Gateway that it belongs to" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (empty .Values.ingress.hosts) -}}
{{- fail "ingress.enabled needs ingress.hosts" -}}
{{- end -}}
{{- end -}}
