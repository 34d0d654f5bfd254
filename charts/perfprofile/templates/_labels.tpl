{{/* Labels of every object; the argument is (dict "root" $ "component" "operator"). */}}
{{- define "perfprofile.labels" -}}
{{ include "perfprofile.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: perfprofile
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{/* Labels that select the pods of one component. They never change: a Deployment's selector is immutable. */}}
{{- define "perfprofile.selector" -}}
app.kubernetes.io/name: perfprofile
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* An image's whole name; the argument is (dict "root" $ "image" .Values.operator.image). A digest wins over a tag. */}}
{{- define "perfprofile.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* What the API server, the operator and the agents call the gateway. */}}
{{- define "perfprofile.gatewayUrl" -}}
https://perfprofile-gateway.{{ .Release.Namespace }}.svc:8444
{{- end -}}

{{/* The pod security context of operator and gateway: Pod Security "restricted". */}}
{{- define "perfprofile.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* The container security context of operator and gateway. */}}
{{- define "perfprofile.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Where the scheduler may put a Deployment's pod; the argument is .Values.operator or .Values.gateway. */}}
{{- define "perfprofile.scheduling" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
