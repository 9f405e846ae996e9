# shellcheck shell=bash
# Part of tests/compose: what the engine says about the containers, and what they can reach.

nobody_is_root() {
    docker top "$(container "$1")" -eo pid,uid,comm | awk '{ print } NR > 1 && $2 != 4711 { other = 1 } END { exit other || NR < 2 }'
}
bounded() { (($(property "$1" "$2") > 0)); }
contains() { property "$1" "$2" | grep --fixed-strings -- "$3"; }
# Whether one container reaches a port of another: whatever listens there, it answers.
reaches() { refused 'expected the answer' inside "$1" gaugeline health --admin "$2"; }

for service in broker bridge influxdb grafana; do
    check "$service: every process is the owner's" nobody_is_root "$service"
    check "$service: the root file system is read-only" is "$service" '{{.HostConfig.ReadonlyRootfs}}' true
    check "$service: no capability" is "$service" '{{.HostConfig.CapDrop}} {{.HostConfig.CapAdd}}' '[ALL] []'
    check "$service: no new privileges" contains "$service" '{{.HostConfig.SecurityOpt}}' no-new-privileges
    check "$service: memory is bounded" bounded "$service" '{{.HostConfig.Memory}}'
    check "$service: processes are bounded" bounded "$service" '{{.HostConfig.PidsLimit}}'
    check "$service: the log is bounded" contains "$service" '{{.HostConfig.LogConfig.Config}}' max-size:10m
    check "$service: comes back by itself" is "$service" '{{.HostConfig.RestartPolicy.Name}}' unless-stopped
    check "$service: cannot write its root" refused 'read-only' inside "$service" touch /written
done
check "init has no network" is init '{{.HostConfig.NetworkMode}}' none
check "init-influxdb is not root" is init-influxdb '{{.Config.User}}' 4711:4712

check "bridge: cannot write the configuration" refused 'read-only' inside bridge touch /data/written
check "bridge: sees its own secrets only" equals "bridge influxdb-bridge-password" "$(inside bridge ls /data/secrets | xargs)"
check "broker: sees its own secret only" equals admin "$(inside broker ls /data/secrets | xargs)"

published() {
    docker ps --quiet --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" | xargs docker inspect --format \
        '{{range $port, $places := .NetworkSettings.Ports}}{{range $places}}{{.HostIp}}:{{$port}} {{end}}{{end}}' | xargs -n 1 | sort | xargs
}
check "four ports are published" equals "127.0.0.1:3000/tcp 127.0.0.1:8883/tcp 127.0.0.1:8884/tcp 127.0.0.1:9883/tcp" "$(published)"
# With the addresses that .env chooses by itself: each port that is published, and where, if not on this machine alone.
outside_ports() {
    env --unset=GAUGELINE_ADDRESS --unset=GAUGELINE_PORT --unset=GAUGELINE_WEBSOCKET_PORT COMPOSE_FILE=compose/compose.yaml \
        "${compose[@]}" config --format json |
        python3 -c 'import json, sys
for service in json.load(sys.stdin)["services"].values():
    for port in service.get("ports", []):
        if port["host_ip"] != "127.0.0.1":
            print(port["host_ip"], port["published"])' | sort | xargs
}
if [[ ${compose[0]} == docker ]]; then
    check "MQTT alone is published to the outside" equals "0.0.0.0 8883 0.0.0.0 8884" "$(outside_ports)"
fi

database=$(address influxdb):8086
check "the bridge reaches InfluxDB" reaches bridge "$database"
check "the broker does not" refused 'no answer' inside broker gaugeline health --admin "$database"
check "InfluxDB has no way out" refused . inside influxdb curl -sS --max-time 5 "http://$(address broker):9883/healthz"
check "InfluxDB asks for a password" refused 401 curl -fsS "http://$database/query?q=show+databases"
check "the bridge may write and not read" refused 'not authorized' ask_telemetry_as_bridge

find "$data/secrets" "$data/pki" -type f -name '*.crt' -prune -o -type f -exec grep -hv -- ----- {} + >"$scratch/secrets"
enough_secrets() { (($(wc --lines <"$scratch/secrets") >= 8)); }
check "there are secrets to look for" enough_secrets
no_secret() { ! "$@" 2>&1 | grep --fixed-strings --file "$scratch/secrets"; }
everything_inspected() {
    docker ps --all --quiet --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" | xargs docker inspect
    docker image inspect "gaugeline:$GAUGELINE_VERSION"
    docker history --no-trunc "gaugeline:$GAUGELINE_VERSION"
}
tells_the_user() { everything_inspected | grep '"User": "4711:4712"'; }
check "the engine tells how the containers are configured" tells_the_user
check "and no secret" no_secret everything_inspected
check "no secret in the logs" no_secret compose logs --no-color
readable_by_others() { [[ -z $(find "$data/secrets" "$scratch/data/secrets" "$data/passwd" -type f -perm /077 -print) ]]; }
check "nobody else on this machine can read a secret" readable_by_others
