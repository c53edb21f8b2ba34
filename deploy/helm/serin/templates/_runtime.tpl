{{/* `runtime` of settings.json: how versions run on this cluster, and which gateway leads to them. */}}
{{- define "serin.runtime" -}}
kind: kubernetes
namespace: {{ .Release.Namespace }}
controller_url: https://{{ include "serin.fullname" . }}.{{ .Release.Namespace }}.svc:{{ .Values.api.port }}
capture_token_file: /var/run/secrets/serin/capture/token
gateway_url: {{ .Values.gateway.url }}
gateway:
  name: {{ .Values.gateway.name }}
  namespace: {{ .Values.gateway.namespace | default .Release.Namespace }}
  hostnames: {{ toJson .Values.gateway.hostnames }}
  {{- with .Values.gateway.mirroring }}
  mirroring: {{ . }}
  {{- end }}
  {{- with .Values.gateway.sticky.by }}
  sticky_by: {{ . }}
  {{- end }}
  {{- with include "serin.features" . }}
  features: {{ . }}
  {{- end }}
{{- with .Values.gateway.metrics }}
{{- if or .kind .job }}
gateway_metrics: {kind: {{ .kind | default "serin" }}, job: {{ include "serin.gatewayJob" $ | quote }}}
{{- end }}
{{- end }}
{{- if and (ne .Values.monitoring.kind "none") (not .Values.monitoring.ruleFile) }}
alert_rules:
  name: {{ include "serin.fullname" . }}-{{ eq .Values.monitoring.kind "operator" | ternary "policies" "rules" }}
  form: {{ eq .Values.monitoring.kind "operator" | ternary "prometheus_rule" "config_map" }}
  labels: {{ toJson .Values.monitoring.labels }}
{{- end }}
pods:
  image: {{ include "serin.imageOf" (list . .Values.replica.image) }}
  capture_secret: {{ .Values.replica.captureSecret }}
  capture_ca: true
  memory_mb: {{ .Values.replica.memoryMb }}
  {{- with .Values.replica.cpu }}
  cpu: {{ . }}
  {{- end }}
  {{- with .Values.registry.secret }}
  registry_secret: {{ . }}
  registry_ca: {{ $.Values.registry.ca }}
  {{- end }}
  {{- with .Values.replica.cacheClaim }}
  cache: {claim: {{ . }}}
  {{- end }}
  {{- with .Values.replica.autoscaling }}
  autoscaling: {replicas_max: {{ .replicasMax }}, by: {{ .by }}, target: {{ .target }}}
  {{- end }}
  pull_secrets: {{ toJson .Values.image.pullSecrets }}
  node_selector: {{ toJson .Values.replica.nodeSelector }}
{{- end }}

{{/* What the gateway supports: as it is said, or as its class says to who installs. Serin's own Role cannot read a class. */}}
{{- define "serin.features" -}}
{{- $said := .Values.gateway.features }}
{{- if and (not $said) .Values.gateway.className }}
{{- $class := lookup "gateway.networking.k8s.io/v1" "GatewayClass" "" .Values.gateway.className | default dict }}
{{- range (($class.status).supportedFeatures) }}
{{- $said = append $said (kindIs "string" . | ternary . (get (kindIs "string" . | ternary dict .) "name")) }}
{{- end }}
{{- end }}
{{- if $said }}{{ toJson $said }}{{ end }}
{{- end }}
