# The simulated load balancer, its identity provider and the demonstration's application, for
# deploy/compose.yaml. To try out, not to deploy: it has the tools of development in it.
ARG BUILD_IMAGE=docker.io/library/node:24-bookworm-slim
FROM ${BUILD_IMAGE}
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci --no-update-notifier
COPY tsconfig.json tsconfig.demo.json ./
COPY simulator simulator
RUN node_modules/.bin/tsc -p tsconfig.demo.json
USER 65532:65532
ENTRYPOINT ["node"]
CMD [".demo/simulator/main.js", "--help"]
