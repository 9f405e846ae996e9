# shellcheck shell=bash
# Part of tests/compose: everything goes into a file and comes out of it again, elsewhere.

viewer=$(<"$data/secrets/viewer")
# What the broker alone has: a message for a client that is away, and a retained one.
subscribe() {
    mosquitto_sub -h localhost -p "$GAUGELINE_PORT" --cafile "$scratch/ca.crt" -u viewer -P "$viewer" -q 1 -W 20 "$@"
}
begin_session() { subscribe -c -i away -t sensors/attic/wind -E; }
check "a session begins, and its client goes" begin_session
check "a message waits for it" publish -u sensor -P "$sensor" -t sensors/attic/wind -m 12
check "a message is retained" publish -u sensor -P "$sensor" -t sensors/attic/state -m 7 -r
eventually "both are in InfluxDB" counted state 1

check "a backup is taken" compose/backup "$scratch/backup.tar.gz"
eventually "everything runs again" all_healthy
backup_is_private() { equals 600 "$(stat --format=%a "$scratch/backup.tar.gz")"; }
check "nobody else can read it" backup_is_private
check "it is not overwritten" refused exists compose/backup "$scratch/backup.tar.gz"
check "nor restored over what is there" refused 'already\|runs' compose/restore "$scratch/backup.tar.gz"

# Another machine: other names, other owner, and the other Compose where there are both.
unset DOCKER_CONFIG
if ! docker compose version >/dev/null 2>&1 && command -v docker-compose >/dev/null; then compose=(docker-compose); fi
export COMPOSE_PROJECT_NAME=$project-restored GAUGELINE_DATA=$scratch/restored GAUGELINE_UID=5005 GAUGELINE_GID=5006
data=$GAUGELINE_DATA/gaugeline
GAUGELINE_PORT=$(free_port) GAUGELINE_WEBSOCKET_PORT=$(free_port) GAUGELINE_ADMIN_PORT=$(free_port) GRAFANA_PORT=$(free_port)
check "it is restored" compose/restore "$scratch/backup.tar.gz"
check "the second stack comes up" compose up --detach --no-build
eventually "everything in it is healthy" all_healthy
check "all $sent messages are in its InfluxDB" counted number "$sent"
check "the passwords are the same" equals "$sensor" "$(<"$data/secrets/sensor")"
messages() { equals "$1" "$(subscribe "${@:2}")"; }
check "the message waits for its client" messages 12 -c -i away -t sensors/attic/wind -C 1
check "the retained message is there" messages 7 -t sensors/attic/state -C 1
check "a sensor of the first one publishes to it" publish -u sensor -P "$sensor" -t sensors/attic/rain -m 3
eventually "and what it says arrives" counted rain 1
check "all files are its owner's" equals "5005:5006" "$(find "$GAUGELINE_DATA"/*/ -printf '%U:%G\n' | sort -u | xargs)"
