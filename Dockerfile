# The image of sfexport: its binary, the certificate authorities it trusts, and nothing that runs beside it.
# docs/docker.md says how to build and run it, docs/internals/image.md how it is tested.

# Both of one Debian release: the binary is linked to the C library of the first and runs on that of the second.
ARG RUST_IMAGE=rust:1-slim-trixie
ARG RUNTIME_IMAGE=debian:trixie-slim

FROM ${RUST_IMAGE} AS build
WORKDIR /src
COPY . .
# The mounts keep crates, and what they compile to, from one build to the next; a builder without them builds anew.
# A kept target folder has two traps. Cargo takes a source older than its last build for unchanged, and a checkout may
# be older than what another one left in the cache: so every file is made new. And it does not notice another base
# image, whose C library the kept objects were not made for: so each release and architecture has a folder of its own.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,id=sfexport-target,target=/target,sharing=locked \
    set -eu; \
    . /etc/os-release; \
    CARGO_TARGET_DIR="/target/$ID-${VERSION_ID:-rolling}-$(uname -m)"; \
    export CARGO_TARGET_DIR; \
    find . -type f -exec touch {} +; \
    cargo build --release --locked --bin sfexport; \
    install -D -m 0755 "$CARGO_TARGET_DIR/release/sfexport" /image/bin/sfexport; \
    install -d /image/volume

FROM ${RUNTIME_IMAGE}
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# What is written goes here, and nowhere else. A named volume takes its owner from these folders. They are no
# VOLUME: the engine would make one where none was mounted, and a complete export would go with the container.
COPY --from=build --chown=10001:10001 /image/volume /exports
COPY --from=build --chown=10001:10001 /image/volume /state
COPY --from=build /image/bin/sfexport /usr/local/bin/sfexport

# sfexport.toml and jobs/ are looked for here; neither is needed where the environment and flags say it all.
WORKDIR /etc/sfexport
ENV SFEXPORT_OUTPUT_ROOT=/exports \
    SFEXPORT_STATE_DIR=/state
# By number: an orchestrator that must refuse root can't look a name up.
USER 10001:10001
# A runtime image whose C library is too old fails here and not in the night.
RUN ["/usr/local/bin/sfexport", "--version"]

ARG REVISION=unknown
LABEL org.opencontainers.image.title="sfexport" \
      org.opencontainers.image.description="Scheduled Salesforce exports that are whole or not there: SOQL to CSV, JSON Lines or Parquet" \
      org.opencontainers.image.revision="${REVISION}"

# sfexport is process 1: it starts no others, and ends by itself on SIGTERM and SIGINT.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/sfexport"]
CMD ["daemon"]
