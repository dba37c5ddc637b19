# What the stages share; sourced, not run.
export DEBIAN_FRONTEND=noninteractive
# Tools and logs that outlive a checkout.
cache="${XDG_CACHE_HOME:-$HOME/.cache}/alb-auth-sidecar"
# Public test data that is too large to keep here.
shared="${SHARED:-../shared}"
mkdir -p "$cache"

apt_install() {
  command -v apt-get >/dev/null || { echo "apt-get is missing: cannot install $*"; return 1; }
  dpkg -s "$@" >/dev/null 2>&1 || { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"; }
}
