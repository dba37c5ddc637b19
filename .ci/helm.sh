# shellcheck shell=bash disable=SC2154
# Helm, built from its module, and the npm tools that read what it renders; sourced after lib.sh.
helm_version=v3.18.6
export HELM="$cache/helm-$helm_version/helm"
export TOOLS="$cache/deploy-tools"

# Helm's own main program by `go install`. It is run for seconds, so it is compiled without optimising and
# without debugger's tables: a third less time, 90 s on two idle cores.
install_helm() {
  local go
  [ -x "$HELM" ] && return
  go=$(command -v go || echo /usr/local/go/bin/go)
  [ -x "$go" ] || { echo "go is missing: cannot build helm"; return 1; }
  GOBIN="${HELM%/*}" CGO_ENABLED=0 "$go" install -gcflags='all=-N -l -dwarf=false' -ldflags='-s -w' \
    "helm.sh/helm/v3/cmd/helm@$helm_version"
}

# npm packages that only a stage needs, beside the checkout: `npm ci` stays short.
install_tools() {
  [ -e "$TOOLS/installed-2" ] && return
  npm install --prefix "$TOOLS" --no-save --ignore-scripts \
    yaml@2.9.1 @kubernetes/client-node@2.0.1 kubernetes-models@5.1.0 \
    @kubernetes-models/prometheus-operator@6.0.0 \
    @aws/cloudformation-validate@1.9.0-beta @cdktf/hcl2json@0.21.0
  touch "$TOOLS/installed-2"
}
