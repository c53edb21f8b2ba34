{{/* The Secrets that the controller's pods mount, by the folder under /var/run/secrets/serin. */}}
{{- define "serin.secrets" -}}
tls: {{ .Values.api.tlsSecret }}
tokens: {{ .Values.api.tokensSecret }}
database: {{ include "serin.databaseSecret" . }}
capture: {{ .Values.replica.captureSecret }}
{{- if .Values.texts.secret }}
text: {{ .Values.texts.secret }}
{{- end }}
{{- if .Values.webhook.secret }}
webhook: {{ .Values.webhook.secret }}
{{- end }}
{{- if .Values.argilla.secret }}
argilla: {{ .Values.argilla.secret }}
{{- end }}
{{- if .Values.prometheus.secret }}
prometheus: {{ .Values.prometheus.secret }}
{{- end }}
{{- if .Values.registry.secret }}
registry: {{ .Values.registry.secret }}
{{- end }}
{{- end }}
