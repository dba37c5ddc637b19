# shellcheck shell=bash disable=SC2154
# What reads the manifests: Helm and Terraform's formatter, built from their modules, and npm packages;
# sourced after lib.sh.
helm_version=v3.18.6
hcl_version=v2.24.0
export HELM="$cache/helm-$helm_version/helm"
export HCLFMT="$cache/hcl-$hcl_version/hclfmt"
export TOOLS="$cache/deploy-tools"

# go_install FILE MODULE@VERSION: its main program, as that file, unless it is there. It is run for seconds,
# so it is compiled without optimising and without a debugger's tables, which takes a third less time.
go_install() {
  local go
  [ -x "$1" ] && return
  go=$(command -v go || echo /usr/local/go/bin/go)
  [ -x "$go" ] || { echo "go is missing: cannot build $2"; return 1; }
  GOBIN="${1%/*}" CGO_ENABLED=0 "$go" install -gcflags='all=-N -l -dwarf=false' -ldflags='-s -w' "$2"
}

# Helm itself: 90 s on two idle cores.
install_helm() { go_install "$HELM" "helm.sh/helm/v3/cmd/helm@$helm_version"; }

# What `terraform fmt` formats by: 15 s.
install_hclfmt() { go_install "$HCLFMT" "github.com/hashicorp/hcl/v2/cmd/hclfmt@$hcl_version"; }

# npm packages that only a stage needs, beside the checkout: `npm ci` stays short.
install_tools() {
  [ -e "$TOOLS/installed-2" ] && return
  npm install --prefix "$TOOLS" --no-save --ignore-scripts \
    yaml@2.9.1 @kubernetes/client-node@2.0.1 kubernetes-models@5.1.0 \
    @kubernetes-models/prometheus-operator@6.0.0 \
    @aws/cloudformation-validate@1.9.0-beta @cdktf/hcl2json@0.21.0
  touch "$TOOLS/installed-2"
}
