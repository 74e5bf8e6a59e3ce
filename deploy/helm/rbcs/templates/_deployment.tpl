{{/* The Deployment of a component. Takes (list $ COMPONENT). */}}
{{- define "rbcs.deployment" -}}
{{- $ := index . 0 -}}
{{- $component := index . 1 -}}
{{- $values := index $.Values $component -}}
{{- $drain := $values.drain -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "rbcs.fullname" $ }}-{{ $component }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "rbcs.labels" . | nindent 4 }}
spec:
  {{- if not $values.autoscaling.enabled }}
  replicas: {{ $values.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  # A new pod must have been ready for this long before an old one goes: until
  # then, whoever finds the pods by DNS has found it.
  minReadySeconds: {{ $values.rollout.minReadySeconds }}
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxUnavailable: 0, maxSurge: {{ $values.rollout.maxSurge }}}
  selector:
    matchLabels:
      {{- include "rbcs.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "rbcs.podLabels" . | nindent 8 }}
      {{- with $values.podAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      serviceAccountName: {{ include "rbcs.serviceAccount" . }}
      automountServiceAccountToken: false
      enableServiceLinks: false # the addresses of other services are not settings of this one
      # --drain-delay + --drain-timeout, and what it takes to answer and close at the end.
      terminationGracePeriodSeconds: {{ add $drain.delaySeconds $drain.timeoutSeconds 15 }}
      {{- with $.Values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      securityContext:
        {{- include "rbcs.podSecurity" $ | nindent 8 }}
      containers:
        - name: {{ $component }}
          image: {{ include "rbcs.image" $ }}
          imagePullPolicy: {{ $.Values.image.pullPolicy }}
          args:
            {{- include (printf "rbcs.%s.args" $component) $ | nindent 12 }}
            - --drain-delay={{ $drain.delaySeconds }}s
            - --drain-timeout={{ $drain.timeoutSeconds }}s
            - --log-level={{ $.Values.log.level }}
            - --log-format={{ $.Values.log.format }}
            {{- with $values.extraArgs }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          env:
            {{- printf "%s\n%s" (include "rbcs.runtimeEnv" $values.resources) (include (printf "rbcs.%s.env" $component) $) | trim | nindent 12 }}
            {{- with $values.extraEnv }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          ports:
            - {name: http, containerPort: 8080, protocol: TCP}
          {{- include "rbcs.probes" . | nindent 10 }}
          resources:
            {{- toYaml $values.resources | nindent 12 }}
          securityContext:
            {{- include "rbcs.containerSecurity" $ | nindent 12 }}
          {{- with include (printf "rbcs.%s.mounts" $component) $ | trim }}
          volumeMounts:
            {{- . | nindent 12 }}
          {{- end }}
      {{- with include (printf "rbcs.%s.volumes" $component) $ | trim }}
      volumes:
        {{- . | nindent 8 }}
      {{- end }}
      topologySpreadConstraints:
        {{- include "rbcs.topologySpread" . | trim | nindent 8 }}
      {{- with $values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      affinity:
        {{- with $values.affinity }}
        {{- toYaml . | nindent 8 }}
        {{- else }}
        # The constraints above count for nothing where nodes have no label for their zone.
        podAntiAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
            - weight: 100
              podAffinityTerm:
                topologyKey: kubernetes.io/hostname
                labelSelector:
                  matchLabels:
                    {{- include "rbcs.selector" . | nindent 20 }}
        {{- end }}
{{- end -}}
