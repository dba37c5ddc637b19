/**
 * `helm/alb-auth-sidecar/values.schema.json`: closed, so that a misspelt value is a fault and not a
 * default. What it says about settings comes from the settings table.
 */
import { settingsSchema, type Schema } from './settings-schema.ts'

const text: Schema = { type: 'string' }
const some: Schema = { type: 'string', minLength: 1 }
const flag: Schema = { type: 'boolean' }
const port: Schema = { type: 'integer', minimum: 1, maximum: 65_535 }
const whole: Schema = { type: 'integer', minimum: 0 }
const map: Schema = { type: 'object', additionalProperties: { type: 'string' } }
/** What is handed to Kubernetes as it stands. */
const manifest: Schema = { type: 'object' }
const manifests: Schema = { type: 'array', items: { type: 'object' } }
const cidrs: Schema = {
  type: 'array',
  items: { type: 'string', pattern: '^[0-9a-fA-F.:]+/[0-9]{1,3}$' },
}

const closed = (properties: Readonly<Record<string, Schema>>): Schema => ({
  type: 'object',
  additionalProperties: false,
  properties,
})

export function valuesSchema(): object {
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Values of the chart alb-auth-sidecar',
    ...closed({
      // Helm puts this in when the chart is a dependency.
      global: manifest,
      image: closed({
        repository: some,
        tag: text,
        digest: { type: 'string', pattern: '^(sha256:[0-9a-f]{64})?$' },
        pullPolicy: { enum: ['Always', 'IfNotPresent', 'Never'] },
      }),
      imagePullSecrets: manifests,
      nameOverride: text,
      native: flag,
      settings: settingsSchema(),
      extraEnv: manifests,
      volumes: manifests,
      volumeMounts: manifests,
      resources: manifest,
      podSelector: map,
      application: closed({
        enabled: flag,
        name: some,
        image: text,
        replicas: whole,
        port,
        env: manifests,
        files: map,
        resources: manifest,
        securityContext: manifest,
        podAnnotations: map,
      }),
      serviceAccount: closed({ annotations: map }),
      ingress: closed({
        enabled: flag,
        className: some,
        group: text,
        host: text,
        scheme: { enum: ['internal', 'internet-facing'] },
        certificateArn: text,
        sslPolicy: some,
        openPaths: {
          type: 'array',
          items: { type: 'string', pattern: '^/', maxLength: 128 },
        },
        annotations: map,
        auth: closed({
          type: { enum: ['oidc', 'cognito'] },
          onUnauthenticated: { enum: ['authenticate', 'allow', 'deny'] },
          scope: some,
          sessionCookie: some,
          sessionTimeoutSeconds: { type: 'integer', minimum: 1, maximum: 604_800 },
          oidc: closed({
            issuer: text,
            authorizationEndpoint: text,
            tokenEndpoint: text,
            userInfoEndpoint: text,
            secretName: text,
          }),
          cognito: closed({ userPoolArn: text, userPoolClientId: text, userPoolDomain: text }),
        }),
      }),
      networkPolicy: closed({
        enabled: flag,
        albCidrs: cidrs,
        prometheusNamespace: map,
        prometheusPods: map,
      }),
      podMonitor: closed({ enabled: flag, labels: map, interval: some }),
      prometheusRule: closed({ enabled: flag, labels: map }),
      dashboard: closed({ enabled: flag, labels: map }),
      podDisruptionBudget: closed({ enabled: flag, maxUnavailable: whole }),
    }),
  }
}
