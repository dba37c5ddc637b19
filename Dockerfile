# alb-auth-sidecar: built on Node's own image, run on distroless: no shell, no package manager, no root.
#
#   docker build -t alb-auth-sidecar .
#
# A release is built from digests, not tags: deploy/pin-images looks them up, and .github/workflows/
# release.yml passes them on as these two arguments.
ARG BUILD_IMAGE=docker.io/library/node:24-bookworm-slim
ARG RUNTIME_IMAGE=gcr.io/distroless/nodejs24-debian12:nonroot

FROM ${BUILD_IMAGE} AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci --no-update-notifier
COPY tsconfig.json tsconfig.build.json ./
COPY src src
RUN npm run build && npm prune --omit=dev --no-update-notifier

FROM ${RUNTIME_IMAGE}
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="alb-auth-sidecar" \
      org.opencontainers.image.description="Believes nothing that your AWS Application Load Balancer did not sign" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Root's, so that the process cannot change what it runs.
COPY --from=build --chown=0:0 /build/package.json /app/package.json
COPY --from=build --chown=0:0 /build/node_modules /app/node_modules
COPY --from=build --chown=0:0 /build/dist /app/dist
WORKDIR /app
# One pool of memory for all threads of native code, since the threads that use it are few.
ENV NODE_ENV=production MALLOC_ARENA_MAX=2
USER 65532:65532
EXPOSE 8080 9090
# Header limits are set by the program itself (MAX_HEADER_BYTES), so node needs no flag for them. V8 sizes its
# heap by the memory of the whole machine: without the two limits it takes 220 MiB where 135 cost no more CPU
# (`npm run bench -- --only memory`).
ENTRYPOINT ["/nodejs/bin/node", "--enable-source-maps", "--max-semi-space-size=16", "--heap-growing-percent=30", "/app/dist/main.js"]
