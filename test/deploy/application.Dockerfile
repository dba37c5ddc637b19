# The application of the container tests.
ARG RUNTIME_IMAGE=gcr.io/distroless/nodejs24-debian12:nonroot
FROM ${RUNTIME_IMAGE}
COPY --chown=0:0 application.mjs /application.mjs
USER 65532:65532
ENTRYPOINT ["/nodejs/bin/node", "/application.mjs"]
