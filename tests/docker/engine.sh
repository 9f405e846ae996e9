# shellcheck shell=bash
# Part of tests/compose: an engine to run it on, and images for a machine that reaches no registry of images.

# A client that can build: newer ones need a plugin for that, which Debian's does not.
choose_client() {
    if ! docker buildx version >/dev/null 2>&1 && [[ -x /usr/bin/docker ]]; then
        PATH=/usr/bin:$PATH
    fi
    export DOCKER_BUILDKIT=1 COMPOSE_DOCKER_CLI_BUILD=1
}

# Compose v2 where only docker-compose 1.29 is there: Debian's next release has it, built against a libc that is no newer
# than this one's. Of that release nothing else is looked at.
make_compose() {
    local plugins=$state/docker-config/cli-plugins lists=$state/apt options
    export DOCKER_CONFIG=$state/docker-config
    if docker compose version >/dev/null 2>&1; then return; fi
    rm -rf "$lists" && mkdir -p "$lists"/{lists,cache/archives}/partial "$plugins"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main" >"$lists/sources.list"
    : >"$lists/status"
    options=(--quiet=2 -o Dir::Etc::SourceList="$lists/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::State="$lists"
        -o Dir::State::status="$lists/status" -o Dir::Cache="$lists/cache" -o APT::Sandbox::User=root)
    apt-get "${options[@]}" update && (cd "$lists" && apt-get "${options[@]}" download docker-compose) &&
        dpkg-deb --extract "$lists"/docker-compose_*.deb "$lists/unpacked" &&
        mv "$lists/unpacked/usr/libexec/docker/cli-plugins/docker-compose" "$plugins"
    rm -rf "$lists"
    docker compose version
}

start_engine() {
    export DOCKER_HOST=unix://$scratch/docker.sock
    # In a session of its own: Ctrl-C ends the stack before the engine.
    setsid dockerd --host "$DOCKER_HOST" --data-root "$state/docker" --exec-root "$scratch/exec" --pidfile "$scratch/pid" \
        >"$state/dockerd.log" 2>&1 &
    engine=$!
    eventually "the engine answers" docker version
}

# Whether there is an image, or one can be had: what this test makes must not take the place of the real one in an engine
# that is used for other things.
has_image() {
    docker image inspect "$1" >/dev/null 2>&1 || { [[ -z $engine ]] && timeout 600 docker pull --quiet "$1"; }
}

# Docker's official images are the same Debian.
make_debian() {
    if has_image "$DEBIAN_IMAGE"; then return; fi
    [[ -e $state/debian.tar ]] || {
        debootstrap --variant=minbase --include=ca-certificates bookworm "$scratch/debian" >"$state/debootstrap.log"
        rm -f "$scratch"/debian/var/cache/apt/archives/*.deb
        tar --create --one-file-system --file "$state/debian.tar" --directory "$scratch/debian" .
    }
    docker import "$state/debian.tar" "$DEBIAN_IMAGE" >/dev/null
}

# This machine's Rust in Debian.
make_rust() {
    if has_image "$RUST_IMAGE"; then return; fi
    rm -rf "$context" && mkdir -p "$context"
    cp -a "$(rustc --print sysroot)"/{bin,lib} "$context"
    # Where a proxy signs what comes from crates.io, its authority is this machine's and not Debian's.
    cp /etc/ssl/certs/ca-certificates.crt "$context"
    docker build --quiet --tag "$RUST_IMAGE" --file - "$context" <<END
FROM $DEBIAN_IMAGE
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev
COPY bin /usr/local/bin
COPY lib /usr/local/lib
COPY ca-certificates.crt /machine-authorities.crt
ENV CARGO_HTTP_CAINFO=/machine-authorities.crt
END
    rm -rf "$context"
}

# InfluxDB 1.6 of Debian, under the name of 1.8.
make_influxdb() {
    if has_image "$INFLUXDB_1_IMAGE"; then return; fi
    rm -rf "$context" && mkdir -p "$context"
    printf '#!/bin/bash\nexec "$@"\n' >"$context/entrypoint.sh"
    chmod 755 "$context/entrypoint.sh"
    docker build --quiet --tag "$INFLUXDB_1_IMAGE" --file - "$context" <<END
FROM $DEBIAN_IMAGE
RUN apt-get update && apt-get install -y --no-install-recommends influxdb influxdb-client curl \
    && rm -rf /var/lib/influxdb && mkdir /var/lib/influxdb
COPY entrypoint.sh /entrypoint.sh
EXPOSE 8086
VOLUME /var/lib/influxdb
ENTRYPOINT ["/entrypoint.sh"]
CMD ["influxd"]
END
}

# Grafana cannot be had: this only answers as it does when it is asked for its health, and holds its place in the networks,
# with its volumes and rights.
make_grafana() {
    if has_image "$GRAFANA_IMAGE"; then return; fi
    docker build --quiet --tag "$GRAFANA_IMAGE" - <<END
FROM $DEBIAN_IMAGE
RUN apt-get update && apt-get install -y --no-install-recommends busybox wget \
    && mkdir -p /www/api /var/lib/grafana /etc/grafana && echo '{"database": "ok"}' >/www/api/health
USER 472
EXPOSE 3000
ENTRYPOINT ["busybox", "httpd", "-f", "-p", "3000", "-h", "/www"]
END
}

make_stand_ins() {
    local context=$state/context
    make_debian
    make_rust
    make_influxdb
    make_grafana
}
