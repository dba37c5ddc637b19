{{- define "alb-auth-sidecar.name" -}}
{{- default .Release.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "alb-auth-sidecar.selectorLabels" -}}
{{- with .Values.podSelector -}}
{{- toYaml . -}}
{{- else -}}
app.kubernetes.io/name: {{ .Values.application.name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}
{{- end -}}

{{- define "alb-auth-sidecar.labels" -}}
app.kubernetes.io/name: {{ .Values.application.name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: alb-auth-sidecar
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* What a setting is: (list $ "PORT"), as set here or as the program has it by default. */}}
{{- define "alb-auth-sidecar.setting" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $defaults := $root.Files.Get "files/defaults.json" | fromJson -}}
{{- $value := get $root.Values.settings $name -}}
{{- if hasKey $root.Values.settings $name -}}
{{- include "alb-auth-sidecar.text" $value -}}
{{- else -}}
{{- get $defaults $name -}}
{{- end -}}
{{- end -}}

{{/* A value as a variable has it: lists with commas, maps as JSON, numbers without an exponent. */}}
{{- define "alb-auth-sidecar.text" -}}
{{- if kindIs "slice" . -}}
{{- join "," . -}}
{{- else if kindIs "map" . -}}
{{- toJson . -}}
{{- else if kindIs "float64" . -}}
{{- int64 . -}}
{{- else -}}
{{- toString . -}}
{{- end -}}
{{- end -}}

{{/* A duration as the settings have it (250ms, 5s, 2m, 12h, 7d) in whole seconds, rounded up. */}}
{{- define "alb-auth-sidecar.seconds" -}}
{{- $amount := regexFind "^[0-9]+" . | int64 -}}
{{- if hasSuffix "ms" . -}}{{- div (add $amount 999) 1000 -}}
{{- else if hasSuffix "m" . -}}{{- mul $amount 60 -}}
{{- else if hasSuffix "h" . -}}{{- mul $amount 3600 -}}
{{- else if hasSuffix "d" . -}}{{- mul $amount 86400 -}}
{{- else -}}{{- $amount -}}
{{- end -}}
{{- end -}}

{{- define "alb-auth-sidecar.drainDelay" -}}
{{- include "alb-auth-sidecar.seconds" (include "alb-auth-sidecar.setting" (list . "DRAIN_DELAY")) -}}
{{- end -}}

{{- define "alb-auth-sidecar.drainTimeout" -}}
{{- include "alb-auth-sidecar.seconds" (include "alb-auth-sidecar.setting" (list . "DRAIN_TIMEOUT")) -}}
{{- end -}}

{{/* Whether the load balancer has to speak TLS to the sidecar. */}}
{{- define "alb-auth-sidecar.backendProtocol" -}}
{{- $selfSigned := include "alb-auth-sidecar.setting" (list . "TLS_SELF_SIGNED") -}}
{{- $file := include "alb-auth-sidecar.setting" (list . "TLS_CERT_FILE") -}}
{{- if or (eq $selfSigned "true") $file -}}HTTPS{{- else -}}HTTP{{- end -}}
{{- end -}}

{{- define "alb-auth-sidecar.ingressAnnotations" -}}
alb.ingress.kubernetes.io/scheme: {{ .Values.ingress.scheme }}
alb.ingress.kubernetes.io/target-type: ip
alb.ingress.kubernetes.io/backend-protocol: {{ include "alb-auth-sidecar.backendProtocol" . }}
alb.ingress.kubernetes.io/listen-ports: '[{"HTTP":80},{"HTTPS":443}]'
alb.ingress.kubernetes.io/ssl-redirect: '443'
alb.ingress.kubernetes.io/ssl-policy: {{ .Values.ingress.sslPolicy }}
alb.ingress.kubernetes.io/certificate-arn: {{ required "ingress.certificateArn is required" .Values.ingress.certificateArn }}
alb.ingress.kubernetes.io/healthcheck-protocol: HTTP
alb.ingress.kubernetes.io/healthcheck-port: {{ include "alb-auth-sidecar.setting" (list . "ADMIN_PORT") | quote }}
alb.ingress.kubernetes.io/healthcheck-path: /readyz
alb.ingress.kubernetes.io/success-codes: '200'
{{- $drain := add (include "alb-auth-sidecar.drainDelay" . | int64) (include "alb-auth-sidecar.drainTimeout" . | int64) }}
alb.ingress.kubernetes.io/target-group-attributes: deregistration_delay.timeout_seconds={{ $drain }}
# A header that Node would not parse is not passed on at all.
alb.ingress.kubernetes.io/load-balancer-attributes: routing.http.drop_invalid_header_fields.enabled=true
{{- with .Values.ingress.annotations }}
{{ toYaml . }}
{{- end }}
{{- end -}}
{{- define "alb-auth-sidecar.ingressBackend" -}}
service:
  name: {{ include "alb-auth-sidecar.name" . }}
  port:
    name: sidecar
{{- end -}}
