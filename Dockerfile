# The image of sfexport: its binary, the libraries it is linked to, and the certificate authorities it trusts. Nothing else: no
# shell and no distribution. docs/docker.md says how to build and run it, docs/internals/image.md how it is tested.

ARG RUST_IMAGE=rust:1-slim-trixie

FROM ${RUST_IMAGE} AS build
WORKDIR /src
COPY . .
# The mounts keep crates, and what they compile to, from one build to the next. A builder without them compiles everything.
# A kept target directory has two traps. Cargo takes a source older than its last build for unchanged, and a checkout may
# be older than what another one left in the cache, so every file is touched. And it does not notice another base
# image, whose C library the kept objects were not made for, so each release and architecture has a separate directory.
# The notices of third-party software are in the image if `packaging/notices target/packaging/notices` has been run before.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,id=sfexport-target,target=/target,sharing=locked \
    set -eu; \
    . /etc/os-release; \
    CARGO_TARGET_DIR="/target/$ID-${VERSION_ID:-rolling}-$(uname -m)"; \
    export CARGO_TARGET_DIR; \
    find . -type f -exec touch {} +; \
    cargo build --release --locked --bin sfexport; \
    packaging/image-files "$CARGO_TARGET_DIR/release/sfexport" target/packaging/notices /image

# packaging/build builds this stage alone, on the same files.
FROM scratch
COPY --from=build /image/root /
# All exports and all state go here. A named volume gets the owner of these directories. They are not declared as VOLUME:
# the engine would create an anonymous volume where none is mounted, and a complete export would be deleted with the container.
COPY --from=build --chown=10001:10001 /image/volume /exports
COPY --from=build --chown=10001:10001 /image/volume /state

# sfexport.toml and jobs/ are looked for here; neither is needed if the environment and flags say everything.
WORKDIR /etc/sfexport
ENV PATH=/usr/local/bin \
    SFEXPORT_OUTPUT_ROOT=/exports \
    SFEXPORT_STATE_DIR=/state
# By number: an orchestrator that must refuse root can't look up a name.
USER 10001:10001

ARG REVISION=unknown
LABEL org.opencontainers.image.title="sfexport" \
      org.opencontainers.image.description="Scheduled Salesforce exports, all or nothing: SOQL to CSV, JSON Lines or Parquet" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"

# sfexport is process 1: it starts no others, and ends by itself on SIGTERM and SIGINT.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/sfexport"]
CMD ["daemon"]
