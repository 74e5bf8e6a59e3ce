{{/* The instances are found by the short name: the first entry of a pod's search list leads to it. */}}
{{- define "rbcs.gateway.args" -}}
- gateway
- --listen=:8080 # of IPv4 and IPv6
- --discover=dns:{{ include "rbcs.fullname" . }}-balance:8080
{{- if .Values.gateway.behindProxy }}
- --behind-proxy
{{- end }}
{{- end -}}

{{- define "rbcs.gateway.env" -}}{{- end -}}
{{- define "rbcs.gateway.mounts" -}}{{- end -}}
{{- define "rbcs.gateway.volumes" -}}{{- end -}}
