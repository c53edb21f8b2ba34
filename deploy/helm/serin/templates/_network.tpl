{{- define "serin.toDatabase" -}}
{{- if .Values.postgresql.enabled -}}
- to:
    - podSelector:
        matchLabels:
          {{- include "serin.selector" (list . "postgresql") | nindent 10 }}
  ports: [{protocol: TCP, port: 5432}]
{{- else -}}
- ports: [{protocol: TCP, port: {{ .Values.database.port }}}]
{{- end }}
{{- end }}

{{- define "serin.toRegistry" -}}
{{- if .Values.mlflow.enabled -}}
- to:
    - podSelector:
        matchLabels:
          {{- include "serin.selector" (list . "mlflow") | nindent 10 }}
  ports: [{protocol: TCP, port: 5000}]
{{- else -}}
- ports: [{protocol: TCP, port: {{ .Values.registry.port }}}]
{{- end }}
{{- end }}
