{{/* How targets are called, as relabelling of Prometheus: rules and gates know these jobs and labels. */}}
{{- define "serin.relabelController" -}}
- {target_label: job, replacement: serin-controller}
{{- end }}

{{/* By the annotations that Serin writes: controller/adapters/kubernetes/objects/labels.py. A pod whose package is still
     being fetched listens to nothing. */}}
{{- define "serin.relabelReplicas" -}}
- {source_labels: [__meta_kubernetes_pod_phase], regex: Pending|Succeeded|Failed, action: drop}
- {source_labels: [__meta_kubernetes_pod_annotation_serin_dev_model], target_label: model}
- {source_labels: [__meta_kubernetes_pod_annotation_serin_dev_version], target_label: model_version}
- {target_label: job, replacement: serin}
{{- end }}

{{- define "serin.relabelGateway" -}}
- {target_label: job, replacement: {{ include "serin.gatewayJob" . | quote }}}
{{- end }}

{{/* What an operator adds to its targets by itself. */}}
{{- define "serin.namePods" -}}
- {source_labels: [__meta_kubernetes_namespace], target_label: namespace}
- {source_labels: [__meta_kubernetes_pod_name], target_label: pod}
{{- end }}

{{/* Takes (list label value). */}}
{{- define "serin.keepLabel" -}}
- {source_labels: [__meta_kubernetes_pod_label_{{ index . 0 | replace "." "_" | replace "/" "_" | replace "-" "_" }}], regex: {{ index . 1 | regexQuoteMeta | quote }}, action: keep}
{{- end }}

{{/* The same in the words of the operator's objects. */}}
{{- define "serin.asRelabelings" -}}
{{ . | replace "source_labels" "sourceLabels" | replace "target_label" "targetLabel" }}
{{- end }}

{{- define "serin.gatewayJob" -}}
{{ .Values.gateway.metrics.job | default "serin-gateway" }}
{{- end }}

{{/* Where the pods are that carry the gateway's traffic. */}}
{{- define "serin.gatewayPods" -}}
{{ .Values.gateway.dataPlaneNamespace | default .Values.gateway.namespace | default .Release.Namespace }}
{{- end }}
