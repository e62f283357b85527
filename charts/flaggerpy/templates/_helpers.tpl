{{- define "flaggerpy.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "flaggerpy.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "flaggerpy.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "flaggerpy.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "flaggerpy.selectorLabels" -}}
app.kubernetes.io/name: {{ include "flaggerpy.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "flaggerpy.commonLabels" -}}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "flaggerpy.labels" -}}
{{ include "flaggerpy.selectorLabels" . }}
{{ include "flaggerpy.commonLabels" . }}
{{- end -}}

{{- define "flaggerpy.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "flaggerpy.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "flaggerpy.image" -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}

{{/* Namespaces to watch, separated by commas; empty means all. */}}
{{- define "flaggerpy.namespaces" -}}
{{- concat .Values.watchNamespaces (compact (list .Values.namespace)) | uniq | sortAlpha | join "," -}}
{{- end -}}

{{/*
The label that names a canary's namespace once Prometheus has scraped it: without honorLabels the operator keeps
"namespace" for the Pod's own.
*/}}
{{- define "flaggerpy.namespaceLabel" -}}
{{- $renamed := false -}}
{{- range list .Values.podMonitor .Values.serviceMonitor -}}
{{- if and .enabled (not .honorLabels) -}}
{{- $renamed = true -}}
{{- end -}}
{{- end -}}
{{- default (ternary "exported_namespace" "namespace" $renamed) .Values.namespaceLabel -}}
{{- end -}}

{{/* The provider of canaries that name none. */}}
{{- define "flaggerpy.meshProvider" -}}
{{- default "istio" .Values.meshProvider -}}
{{- end -}}

{{/* Every provider that canaries may use here, each checked against what this version serves. */}}
{{- define "flaggerpy.providers" -}}
{{- $served := list "kubernetes" "gatewayapi:v1" "gatewayapi:v1beta1" "contour" "istio" "traefik" "apisix" "gloo" "kuma" "linkerd" "smi:v1alpha1" "smi:v1alpha2" "smi:v1alpha3" "knative" "nginx" "skipper" "alb" -}}
{{- $all := prepend .Values.rbac.providers (include "flaggerpy.meshProvider" .) | uniq -}}
{{- range $all -}}
{{- if not (or (has . $served) (regexMatch "^smi:v1alpha[123]:[^:,]+$" .)) -}}
{{- fail (printf "provider %q is not served by this version; it serves %s" . (join ", " $served)) -}}
{{- end -}}
{{- end -}}
{{- join "," $all -}}
{{- end -}}

{{/* What the controller does to the objects of canaries, and nothing more. */}}
{{- define "flaggerpy.rules" -}}
- apiGroups: [flagger.app]
  resources: [canaries]
  verbs: [get, list, watch, patch]
- apiGroups: [flagger.app]
  resources: [canaries/status]
  verbs: [update]
- apiGroups: [flagger.app]
  resources: [metrictemplates, alertproviders]
  verbs: [get, list, watch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, update, delete]
{{- /* A DaemonSet has no scale: one of its node selectors is patched. */}}
- apiGroups: [apps]
  resources: [daemonsets]
  verbs: [get, list, watch, create, update, patch, delete]
- apiGroups: [apps]
  resources: [deployments/scale]
  verbs: [patch]
{{- /* What was promoted is kept in these; what they hold cannot be changed, so they are never updated. */}}
- apiGroups: [apps]
  resources: [controllerrevisions]
  verbs: [get, list, watch, create, delete]
{{- /* Whether a target changed after Flagger stopped, asked once where a rollout in flight is taken over. */}}
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [list]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, update, delete]
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs: [get, list, watch, create, update, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, update, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, update, delete]
{{- if .Values.configTracking.enabled }}
- apiGroups: [""]
  resources: [configmaps, secrets]
  verbs: [get, list, watch, create, update, delete]
{{- end }}
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- /* Metrics that the API server serves for others; each is a resource of its own. */}}
{{- with .Values.rbac.externalMetrics }}
- apiGroups: [external.metrics.k8s.io]
  resources: {{ toJson . }}
  verbs: [list]
{{- end }}
{{- /* A duration without any digit above 0 is none: fail fast is off. */}}
{{- if regexMatch "[1-9]" .Values.failFastAfter }}
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [get]
{{- end }}
{{- $providers := splitList "," (include "flaggerpy.providers" .) }}
{{- if or (has "gatewayapi:v1" $providers) (has "gatewayapi:v1beta1" $providers) }}
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, watch, create, update, patch, delete]
{{- /* Routes of these kinds are only ever the user's own: weights in them are patched. */}}
- apiGroups: [gateway.networking.k8s.io]
  resources: [grpcroutes, tlsroutes, tcproutes]
  verbs: [get, list, watch, patch]
{{- end }}
{{- if has "contour" $providers }}
- apiGroups: [projectcontour.io]
  resources: [httpproxies]
  verbs: [get, list, watch, create, update, patch, delete]
{{- end }}
{{- if has "istio" $providers }}
- apiGroups: [networking.istio.io]
  resources: [virtualservices, destinationrules]
  verbs: [get, list, watch, create, update, patch, delete]
{{- end }}
{{- if has "traefik" $providers }}
- apiGroups: [traefik.io]
  resources: [traefikservices]
  verbs: [get, list, watch, create, update, patch, delete]
{{- end }}
{{- if has "apisix" $providers }}
- apiGroups: [apisix.apache.org]
  resources: [apisixroutes]
  verbs: [get, list, watch, create, update, patch, delete]
{{- end }}
{{- if has "gloo" $providers }}
- apiGroups: [gateway.solo.io]
  resources: [routetables]
  verbs: [get, list, watch, create, update, patch, delete]
- apiGroups: [gloo.solo.io]
  resources: [upstreams]
  verbs: [get, list, watch, create, update, patch, delete]
{{- end }}
{{- if regexMatch "(^|,)(smi:|linkerd)" (include "flaggerpy.providers" .) }}
- apiGroups: [split.smi-spec.io]
  resources: [trafficsplits]
  verbs: [get, list, watch, create, update, patch, delete]
{{- end }}
{{- if or (has "nginx" $providers) (has "skipper" $providers) }}
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [get, list, watch, create, update, patch, delete]
{{- else if has "alb" $providers }}
{{- /* No Ingress is made: one annotation of the user's own is changed. */}}
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [get, list, watch, update]
{{- end }}
{{- if has "knative" $providers }}
{{- /* Nothing is made: the user's own service is target and route. */}}
- apiGroups: [serving.knative.dev]
  resources: [services]
  verbs: [get, list, watch, update]
{{- end }}
{{- end -}}

{{/* What the controller does to routing objects that have no namespace. */}}
{{- define "flaggerpy.clusterRules" -}}
{{- if has "kuma" (splitList "," (include "flaggerpy.providers" .)) }}
- apiGroups: [kuma.io]
  resources: [trafficroutes]
  verbs: [get, list, watch, create, update, patch, delete]
{{- end }}
{{- end -}}

{{/* What `flaggerpy release` does. */}}
{{- define "flaggerpy.releaseRules" -}}
- apiGroups: [flagger.app]
  resources: [canaries]
  verbs: [get, list, patch]
{{- end -}}

{{/* Metadata of what exists only while the release is being uninstalled. */}}
{{- define "flaggerpy.releaseMeta" -}}
labels:
  app.kubernetes.io/name: {{ include "flaggerpy.name" . }}-release
  app.kubernetes.io/instance: {{ .Release.Name }}
  {{- include "flaggerpy.commonLabels" . | nindent 2 }}
annotations:
  helm.sh/hook: pre-delete
  helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}
