{{- define "rbcs.balance.args" -}}
- serve
- --listen=:8080 # of IPv4 and IPv6
{{- include "rbcs.databaseArgs" .Values.database }}
{{- if .Values.tryout.postgresql.enabled }}
- --migrate
{{- end }}
{{- with .Values.currencies }}
{{- $declared := list }}
{{- range $code, $decimals := . }}
{{- $declared = append $declared (printf "%s=%d" $code (int $decimals)) }}
{{- end }}
- --currencies={{ join "," $declared }}
{{- end }}
{{- with .Values.balance.maxBatch }}
- --max-batch={{ int . }}
{{- end }}
{{- with .Values.balance.maxPending }}
- --max-pending={{ int . }}
{{- end }}
{{- with .Values.balance.inFlight }}
- --in-flight={{ int . }}
{{- end }}
{{- if .Values.balance.webhookPrivate }}
- --webhook-private
{{- end }}
{{- end -}}

{{- define "rbcs.balance.env" -}}
{{ include "rbcs.databaseEnv" (list . .Values.database) }}
{{- if .Values.tryout.redis.enabled }}
- name: RBCS_REDIS
  value: redis://{{ include "rbcs.fullname" . }}-tryout-redis:6379
{{- else if .Values.redis.secret.name }}
- name: RBCS_REDIS
  valueFrom: {secretKeyRef: {name: {{ .Values.redis.secret.name }}, key: {{ .Values.redis.secret.key }}}}
{{- else if .Values.redis.url }}
- name: RBCS_REDIS
  value: {{ .Values.redis.url | quote }}
{{- end }}
{{- include "rbcs.caEnv" . }}
{{- end -}}

{{- define "rbcs.balance.mounts" -}}
{{ include "rbcs.databaseMount" .Values.database }}
{{- include "rbcs.caMount" . }}
{{- end -}}

{{- define "rbcs.balance.volumes" -}}
{{ include "rbcs.databaseVolume" .Values.database }}
{{- include "rbcs.caVolume" . }}
{{- end -}}
