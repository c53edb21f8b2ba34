{{/* The name of what belongs to this installation; 40 characters leave room for what is appended. */}}
{{- define "serin.fullname" -}}
{{- if contains "serin" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}{{ printf "%s-serin" .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* What selects the pods of one part: never changed, since a Deployment's cannot be. Takes (list root part). */}}
{{- define "serin.selector" -}}
app.kubernetes.io/name: serin
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "serin.labels" -}}
{{ include "serin.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ printf "%s-%s" (index . 0).Chart.Name (index . 0).Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "serin.metadata" -}}
name: {{ index . 2 }}
namespace: {{ (index . 0).Release.Namespace }}
labels:
  {{- include "serin.labels" (list (index . 0) (index . 1)) | nindent 2 }}
{{- end }}

{{/* What selects the pods of versions, which Serin makes: controller/adapters/kubernetes/objects/labels.py. */}}
{{- define "serin.replicas" -}}
app.kubernetes.io/managed-by: serin
serin.dev/part: replica
{{- end }}

{{- define "serin.image" -}}
{{- include "serin.imageOf" (list . .Values.image) }}
{{- end }}

{{/* By its digest where that is given, else by its tag. Takes (list root image). */}}
{{- define "serin.imageOf" -}}
{{- $image := index . 1 -}}
{{- if $image.digest }}{{ $image.repository }}@{{ $image.digest }}
{{- else }}{{ $image.repository }}:{{ $image.tag | default (index . 0).Chart.AppVersion }}
{{- end }}
{{- end }}

{{- define "serin.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* What the Pod Security Standard `restricted` asks of every container, and a file system that cannot be written. */}}
{{- define "serin.restricted" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "serin.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "serin.databaseSecret" -}}
{{- if .Values.postgresql.enabled }}{{ .Values.postgresql.secret }}{{ else }}{{ .Values.database.secret }}{{ end }}
{{- end }}

{{- define "serin.registry" -}}
{{- if .Values.mlflow.enabled }}http://{{ include "serin.fullname" . }}-mlflow:5000{{ else }}{{ .Values.registry.url }}{{ end }}
{{- end }}

{{/* What serin db upgrade is called with, as the container of a Job or of an init step. */}}
{{- define "serin.databaseUpgrade" -}}
name: upgrade
image: {{ include "serin.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
command: [serin, db, upgrade, --url-file, /var/run/secrets/serin/database/url]
resources:
  requests: {cpu: 100m, memory: 256Mi}
  limits: {memory: 512Mi}
securityContext:
  {{- include "serin.restricted" . | nindent 2 }}
terminationMessagePolicy: FallbackToLogsOnError
volumeMounts:
  - {name: database, mountPath: /var/run/secrets/serin/database, readOnly: true}
  - {name: scratch, mountPath: /tmp}
{{- end }}

{{/* What has to be said, and was not: one sentence for each, with the way out. */}}
{{- define "serin.check" -}}
{{- if not .Values.gateway.name }}{{ fail "gateway.name: the Gateway that routes hang on is needed" }}{{ end }}
{{- if not .Values.gateway.url }}{{ fail "gateway.url: where the Gateway answers inside the cluster is needed, as http://NAME.NAMESPACE.svc" }}{{ end }}
{{- if and .Values.gateway.sticky.by (not .Values.gateway.sticky.header) }}{{ fail "gateway.sticky.header: the header whose values keep their version is needed beside by" }}{{ end }}
{{- if and .Values.gateway.sticky.header (not .Values.gateway.sticky.by) }}{{ fail "gateway.sticky.by: how the gateway is told to keep users on their version is needed beside header" }}{{ end }}
{{- if not .Values.replica.captureSecret }}{{ fail "replica.captureSecret: a Secret with token, digest-key and ca.crt is needed; README.md says how to make one" }}{{ end }}
{{- if not (include "serin.registry" .) }}{{ fail "registry.url: the address of MLflow is needed, or mlflow.enabled" }}{{ end }}
{{- if not (include "serin.databaseSecret" .) }}{{ fail "database.secret: a Secret with the key `url` is needed, or postgresql.enabled with postgresql.secret" }}{{ end }}
{{- if not .Values.api.tlsSecret }}{{ fail "api.tlsSecret: a Secret with tls.crt, tls.key and ca.crt is needed; README.md says how to make one" }}{{ end }}
{{- if not .Values.api.tokensSecret }}{{ fail "api.tokensSecret: a Secret with tokens.json is needed; README.md says how to make one" }}{{ end }}
{{- if not .Values.prometheus.url }}{{ fail "prometheus.url: the Prometheus that scrapes the replicas is needed" }}{{ end }}
{{- if and (eq .Values.monitoring.kind "operator") (not .Values.monitoring.tokenSecret) }}{{ fail "monitoring.tokenSecret: a Secret with `token` (role view) is needed: without it Prometheus cannot read the controller's metrics; README.md says how to make one" }}{{ end }}
{{- if and .Values.monitoring.gateway.podLabels (not .Values.monitoring.gateway.port) }}{{ fail "monitoring.gateway.port: what the gateway's pods call the port of their metrics is needed" }}{{ end }}
{{- if and .Values.monitoring.receivers.ticketUrl (not .Values.monitoring.receivers.pageUrl) }}{{ fail "monitoring.receivers.pageUrl: where pages are posted to is needed beside ticketUrl" }}{{ end }}
{{- if and .Values.mlflow.enabled (not .Values.mlflow.image.repository) }}{{ fail "mlflow.image.repository: an image with the whole of MLflow is needed" }}{{ end }}
{{- range (lookup "apps/v1" "Deployment" .Release.Namespace "").items }}
{{- $labels := .metadata.labels | default dict }}
{{- if and (eq (get $labels "app.kubernetes.io/name") "serin") (eq (get $labels "app.kubernetes.io/component") "controller") (ne (get $labels "app.kubernetes.io/instance") $.Release.Name) }}
{{- fail (printf "the release %s has a Serin in this namespace: give this one a namespace of its own" (get $labels "app.kubernetes.io/instance")) }}
{{- end }}
{{- end }}
{{- end }}
