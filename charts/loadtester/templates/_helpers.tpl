{{- define "loadtester.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "loadtester.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "loadtester.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "loadtester.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "loadtester.state" -}}
{{- printf "%s-state" (include "loadtester.fullname" . | trunc 57 | trimSuffix "-") -}}
{{- end -}}

{{/* The service account, empty when the Pod needs no token. */}}
{{- define "loadtester.account" -}}
{{- if .Values.rbac.create -}}
{{- include "loadtester.fullname" . -}}
{{- else if .Values.serviceAccountName -}}
{{- .Values.serviceAccountName -}}
{{- else if .Values.state.durable -}}
{{- include "loadtester.fullname" . -}}
{{- end -}}
{{- end -}}

{{- define "loadtester.labels" -}}
app: {{ include "loadtester.name" . }}
app.kubernetes.io/name: {{ include "loadtester.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}
