{{/* The instances are found by the short name: the first entry of a pod's search list leads to it. */}}
{{- define "rbcs.gateway.args" -}}
- gateway
- --listen=0.0.0.0:8080
- --discover=dns:{{ include "rbcs.fullname" . }}-balance:8080
{{- if .Values.gateway.behindProxy }}
- --behind-proxy
{{- end }}
{{- end -}}

{{- define "rbcs.gateway.env" -}}{{- end -}}
{{- define "rbcs.gateway.mounts" -}}{{- end -}}
{{- define "rbcs.gateway.volumes" -}}{{- end -}}
