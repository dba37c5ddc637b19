{{/*
The sidecar, for a pod of this chart or of another:

  spec:
    terminationGracePeriodSeconds: {{ include "alb-auth-sidecar.terminationGracePeriodSeconds" $sidecar }}
    initContainers:
      - {{- include "alb-auth-sidecar.container" $sidecar | nindent 8 }}
    containers:
      - name: application
        lifecycle: {{- include "alb-auth-sidecar.applicationLifecycle" $sidecar | nindent 10 }}
    volumes: {{- include "alb-auth-sidecar.volumes" $sidecar | nindent 6 }}

where $sidecar is `index .Subcharts "alb-auth-sidecar"`. With `native: false` it goes under containers.
*/}}
{{- define "alb-auth-sidecar.container" -}}
{{- $tag := default .Chart.AppVersion .Values.image.tag -}}
name: alb-auth-sidecar
{{- if .Values.image.digest }}
image: {{ printf "%s@%s" .Values.image.repository .Values.image.digest | quote }}
{{- else }}
image: {{ printf "%s:%s" .Values.image.repository $tag | quote }}
{{- end }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- if .Values.native }}
restartPolicy: Always
{{- end }}
env:
  {{- range $name, $value := .Values.settings }}
  - name: {{ $name }}
    value: {{ include "alb-auth-sidecar.text" $value | quote }}
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
ports:
  - name: sidecar
    containerPort: {{ include "alb-auth-sidecar.setting" (list . "PORT") }}
  - name: sidecar-admin
    containerPort: {{ include "alb-auth-sidecar.setting" (list . "ADMIN_PORT") }}
startupProbe:
  httpGet:
    path: /healthz
    port: sidecar-admin
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet:
    path: /healthz
    port: sidecar-admin
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet:
    path: /readyz
    port: sidecar-admin
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
securityContext:
  allowPrivilegeEscalation: false
  capabilities:
    drop: [ALL]
  privileged: false
  readOnlyRootFilesystem: true
  runAsGroup: 65532
  runAsNonRoot: true
  runAsUser: 65532
  seccompProfile:
    type: RuntimeDefault
resources:
  {{- toYaml .Values.resources | nindent 2 }}
{{- with .Values.volumeMounts }}
volumeMounts:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The volumes that the sidecar's mounts are of; a list, perhaps an empty one. */}}
{{- define "alb-auth-sidecar.volumes" -}}
{{- toYaml .Values.volumes -}}
{{- end -}}

{{/*
The application must not end before the sidecar has let its requests finish. A native sidecar is told to
end only after the application has: then the application waits until the load balancer sends nothing more.
*/}}
{{- define "alb-auth-sidecar.applicationLifecycle" -}}
{{- $delay := include "alb-auth-sidecar.drainDelay" . | int64 -}}
{{- $timeout := include "alb-auth-sidecar.drainTimeout" . | int64 -}}
preStop:
  sleep:
    seconds: {{ max 1 (ternary $delay (add $delay $timeout) .Values.native) }}
{{- end -}}

{{/* For one drain after another: the application's wait, then the sidecar's own; and to spare. */}}
{{- define "alb-auth-sidecar.terminationGracePeriodSeconds" -}}
{{- $delay := include "alb-auth-sidecar.drainDelay" . | int64 -}}
{{- $timeout := include "alb-auth-sidecar.drainTimeout" . | int64 -}}
{{- add $delay $timeout (ternary (add $delay $timeout) 0 .Values.native) 10 -}}
{{- end -}}
