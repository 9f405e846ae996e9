# shellcheck shell=bash
# Part of tests/compose: what is looked at, and how it is counted.

passed=0
not_tested=0
phase_begin=$SECONDS
phase_name=

# Begins a part of the test; says how long the last one took.
phase() {
    if [[ -n $phase_name ]]; then echo "    $phase_name: $((SECONDS - phase_begin)) s"; fi
    phase_name=${1:-}
    phase_begin=$SECONDS
    if [[ -n $phase_name ]]; then echo "--- $phase_name"; fi
}

# One promise: a name and the command that shows it.
check() {
    local name=$1
    shift
    "$@" >"$scratch/output" 2>&1 || die "FAILED: $name: $*
$(tail -n 60 "$scratch/output")"
    passed=$((passed + 1))
    echo "ok: $name"
}

# As check, for what becomes true within a minute.
eventually() {
    local name=$1
    shift
    check "$name" within_a_minute "$@"
}

within_a_minute() {
    local deadline=$((SECONDS + 60))
    until "$@" >"$scratch/attempt" 2>&1; do
        ((SECONDS < deadline)) || { echo "not within a minute:" && cat "$scratch/attempt" && return 1; }
        sleep 0.3
    done
    cat "$scratch/attempt"
}

# What this machine cannot show.
untested() {
    not_tested=$((not_tested + 1))
    echo "NOT TESTED: $1"
}

# As check, for what must fail, with the words that say why.
refused() {
    local words=$1
    shift
    if "$@" >"$scratch/refusal" 2>&1; then return 1; fi
    cat "$scratch/refusal"
    grep --quiet --ignore-case -- "$words" "$scratch/refusal"
}

equals() { echo "found $2, expected $1" && [[ $1 == "$2" ]]; }

free_port() {
    local port
    while port=$((20000 + RANDOM % 10000)); do
        (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port" && return; }
    done
}

# --- containers -------------------------------------------------------------------------------------------------------

container() {
    docker ps --all --quiet --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" \
        --filter "label=com.docker.compose.service=$1" --filter "label=com.docker.compose.oneoff=False"
}
property() { docker inspect --format "$2" "$(container "$1")"; }
is() { equals "$3" "$(property "$1" "$2")"; }
inside() { compose exec -T "$@"; }
healthy() { equals healthy "$(property "$1" '{{.State.Health.Status}}')"; }
all_healthy() {
    local service
    for service in broker bridge influxdb grafana; do healthy "$service" || return; done
}
address() { property "$1" '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}' | cut -d ' ' -f 1; }

# Configuration, certificates and passwords.
fingerprint() {
    find "$GAUGELINE_DATA/gaugeline" "$GAUGELINE_DATA/secrets" -path "$GAUGELINE_DATA/gaugeline/data" -prune -o -type f \
        -exec sha256sum {} + -exec stat --format '%a %u:%g %n' {} + | sort
}
fingerprint_survives() {
    fingerprint >"$scratch/before"
    "$@" && within_a_minute all_healthy || return
    fingerprint >"$scratch/after"
    diff "$scratch/before" "$scratch/after"
}

down_and_up() {
    compose stop --timeout 30
    is broker '{{.State.ExitCode}}' 0 && is bridge '{{.State.ExitCode}}' 0 || return
    compose down && compose up --detach --no-build
}

# The program is all that we add. Docker's bookworm-slim takes 28 MB compressed, and together it shall be less than 40.
small_image() {
    local program_bytes
    program_bytes=$(docker run --rm --entrypoint gzip "gaugeline:$GAUGELINE_VERSION" -c /usr/local/bin/gaugeline | wc --bytes)
    echo "the program takes $program_bytes bytes, compressed"
    ((program_bytes < 12000000))
}

# --- MQTT and InfluxDB ------------------------------------------------------------------------------------------------

# publish [OPTION...]: over TLS with the authority that `init` made.
publish() {
    timeout 20 mosquitto_pub -h localhost -p "$GAUGELINE_PORT" --cafile "$scratch/ca.crt" -q 1 "$@"
}

# Asks InfluxDB, as its administrator unless told otherwise: database, query.
ask() {
    curl -sS --get "http://$(address influxdb):8086/query" --user "${3:-admin}:$(<"$data/secrets/influxdb-${3:-admin}-password")" \
        --data-urlencode "db=$1" --data-urlencode "q=$2" --header 'Accept: application/csv'
}

ask_telemetry_as_bridge() { ask telemetry 'select * from sensors' bridge | tee /dev/stderr | refuse_errors; }
refuse_errors() { ! grep --quiet error; }

# How many different values of a field InfluxDB has.
count() {
    ask telemetry "select count(distinct($1)) from sensors" | awk -F , 'NR == 2 { print $4 }'
}
counted() { equals "$2" "$(count "$1")"; }

# Publishes 1, 2, 3 … each until it is acknowledged, while the file `load` is there; `sent` holds the last one.
keep_publishing() {
    local number=0
    while [[ -e $scratch/load ]]; do
        number=$((number + 1))
        until publish -u sensor -P "$sensor" -t sensors/load/number -m "$number" 2>/dev/null; do
            sleep 0.1
        done
        echo "$number" >"$scratch/sent"
    done
}

# The broker upgrades to WebSocket over TLS, with a certificate for this name.
speaks_websocket() {
    printf 'GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n' |
        timeout 5 openssl s_client -quiet -connect "localhost:$GAUGELINE_WEBSOCKET_PORT" -CAfile "$scratch/ca.crt" \
            -verify_hostname localhost -verify_return_error >"$scratch/upgrade" 2>&1
    grep --text '101 Switching' "$scratch/upgrade"
}

admin_answers() {
    curl -fsS "http://127.0.0.1:$GAUGELINE_ADMIN_PORT/readyz" && curl -fsS "http://127.0.0.1:$GAUGELINE_ADMIN_PORT/metrics" |
        grep gaugeline_connections_open
}

tells_credentials() {
    compose run --rm init credentials >"$scratch/credentials"
    grep --fixed-strings "$sensor" "$scratch/credentials" &&
        grep --fixed-strings "$(<"$data/secrets/grafana-admin-password")" "$scratch/credentials"
}

# --- Grafana ----------------------------------------------------------------------------------------------------------

grafana_secrets="grafana-admin-password grafana-secret-key influxdb-grafana-password"

# Asks InfluxDB as Grafana would, from its place and with what it has: path, body.
# shellcheck disable=SC2016 # The shell in the container is meant.
as_grafana() {
    inside grafana sh -c 'wget -O- --header "Authorization: Basic $(printf "grafana:%s" \
        "$(cat /run/secrets/influxdb-grafana-password)" | base64 -w 0)" --post-data "$2" "http://influxdb:8086$1"' - "$@"
}
grafana_reads() { as_grafana '/query?db=telemetry' 'q=show measurements' | grep '"sensors"'; }
grafana_writes() { as_grafana '/write?db=telemetry' 'sensors,device=forged temperature=0'; }

# The compiler checks the dashboards against the types of Grafana's version.
grafana_types() {
    local directory=$state/grafana version=${GRAFANA_IMAGE##*:}
    mkdir -p "$directory" && rm -f "$directory"/*.ts
    [[ -e $directory/node_modules/installed-$version ]] || {
        npm install --prefix "$directory" --no-audit --no-fund --no-package-lock "@grafana/schema@$version" typescript@5.9.3 &&
            touch "$directory/node_modules/installed-$version"
    } || return
    python3 tests/python/dashboards.py types "$directory" &&
        (cd "$directory" && node_modules/.bin/tsc --noEmit --strict --skipLibCheck --module esnext --moduleResolution bundler \
            --target es2022 ./*.ts)
}

# What happens rarely, so that the panels that count it have something to show.
events_for_every_panel() {
    # A refused connection and a refused message, names that have to be repaired, and one that cannot become a point.
    publish -u sensor -P wrong -t sensors/a/b -m 1 || true
    publish -u sensor -P "$sensor" -t elsewhere -m 1 || true
    publish -u sensor -P "$sensor" -t 'sensors/a b/time' -m 1
    publish -u sensor -P "$sensor" -t sensors/broken -m '{"temperature": '
}
dashboards_have_data() {
    python3 tests/python/dashboards.py query "http://$(address influxdb):8086" --user grafana \
        --password-file "$data/secrets/influxdb-grafana-password" --set measurement=sensors --set number=temperature
}
