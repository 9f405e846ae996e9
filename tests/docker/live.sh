# shellcheck shell=bash
# Part of tests/compose: what is changed while everything runs.

# Somebody on this machine who edits files as editors do: a new one under the old name.
as_user() { setpriv --reuid=4711 --regid=4712 --clear-groups "$@"; }
# edit FILE SED-SCRIPT
edit() { as_user sed --in-place "$2" "$1"; }

add_user() { printf 'of glass\nof glass\n' | inside broker gaugeline passwd /data/passwd greenhouse; }
check "a user is added" add_user
check "rights are added, on this machine" edit "$data/acl" '$ a\\nuser greenhouse\ntopic write sensors/greenhouse/#'
# mosquitto_pub does not fail when it is told that it may not.
greenhouse_reports() { publish -u greenhouse -P 'of glass' -t sensors/greenhouse/light -m 1 && counted light 1; }
eventually "the user may publish, and it arrives" greenhouse_reports
check "the user is removed, on this machine" edit "$data/passwd" '/^greenhouse:/d'
greenhouse_is_refused() { refused 'not authori[sz]ed' publish -u greenhouse -P 'of glass' -t sensors/greenhouse/light -m 2; }
eventually "the user is refused" greenhouse_is_refused
check "rights with a mistake are written" edit "$data/acl" '$ a\nonsense here'
logged() { compose logs --no-color "$1" | grep --fixed-strings -- "$2"; }
eventually "the log names the line" logged broker 'acl:'
check "the old rights hold" publish -u sensor -P "$sensor" -t sensors/kitchen/humidity -m 40
eventually "and what comes arrives" counted humidity 1
check "the mistake is corrected" edit "$data/acl" '/^nonsense/d'

# What a new connection is shown.
serial() {
    openssl s_client -connect "localhost:$GAUGELINE_PORT" -CAfile "$scratch/ca.crt" -verify_return_error </dev/null 2>/dev/null |
        openssl x509 -noout -serial
}
serial >"$scratch/serial"
check "the server's certificate is renewed" inside broker gaugeline pki renew server -d /data
another_serial() { serial | tee "$scratch/serial.new" && ! diff "$scratch/serial" "$scratch/serial.new"; }
eventually "the broker shows the new one" another_serial
check "sensors trust it" publish -u sensor -P "$sensor" -t sensors/kitchen/pressure -m 1013
eventually "and what they say arrives" counted pressure 1
# Over TLS with a certificate of its own, and the secret key beside it.
publish_as_hall() { publish -u sensor -P "$sensor" --cert "$scratch/hall-1.crt" --key "$scratch/hall-1.key" "$@"; }
check "a client's certificate is issued" inside broker gaugeline pki issue hall-1 -d /data
check "it is there, on this machine" openssl verify -CAfile "$scratch/ca.crt" "$data/pki/clients/hall-1.crt"
cp "$data"/pki/clients/hall-1.{crt,key} "$scratch"
check "broker.toml asks for certificates from now on, on this machine" \
    edit "$data/broker.toml" 's/^require_certificate = false/require_certificate = true/'
is_refused() { refused 'alert\|certificate\|lost\|error' "$@"; }
eventually "without one nobody comes in" is_refused publish -u sensor -P "$sensor" -t sensors/kitchen/uncertified -m 1
check "with it a sensor does" publish_as_hall -t sensors/kitchen/noise -m 40
check "it is revoked" inside broker gaugeline pki revoke hall-1 -d /data
eventually "with it nobody comes in any more" is_refused publish_as_hall -t sensors/kitchen/revoked -m 1
check "a mistake in broker.toml" edit "$data/broker.toml" '1 i\nonsense = here'
eventually "the log names the file and the line" logged broker 'broker.toml:1:'
check "without the mistake, and without asking for certificates" edit "$data/broker.toml" \
    '1 d; s/^require_certificate = true/require_certificate = false/'
eventually "sensors come in without" publish -u sensor -P "$sensor" -t sensors/kitchen/noise -m 42
eventually "what was accepted is in InfluxDB, and nothing else" counted noise 2

check "the broker tells its status" inside broker gaugeline status -c /data/broker.toml
check "it reads everything again when it is told to" inside broker gaugeline reload -c /data/broker.toml

started() { property bridge '{{.State.StartedAt}}'; }
bridge_started=$(started)
check "the bridge gets a rule, on this machine" edit "$data/bridge.toml" \
    '0,/^\[\[rule\]\]/ s//[[rule]]\ntopic = "sensors\/{device}\/power"\nmeasurement = "sensors"\nfield = "watts"\n\n[[rule]]/'
# What came before the rule is a field of another name.
power_is_watts() { publish -u sensor -P "$sensor" -t sensors/kitchen/power -m 1500 && counted watts 1; }
eventually "it holds" power_is_watts
check "a mistake in bridge.toml" edit "$data/bridge.toml" 's/^field = "watts"/filed = "watts"/'
eventually "the log names it" logged bridge 'filed'
check "the old rules hold" publish -u sensor -P "$sensor" -t sensors/kitchen/power -m 1501
eventually "and what comes is written by them" counted watts 2
check "the mistake is corrected" edit "$data/bridge.toml" 's/^filed = "watts"/field = "watts"/'
eventually "the bridge says so" logged bridge 'bridge.toml'
check "it was never restarted" equals "$bridge_started" "$(started)"

# What SENSORS.md says, with this machine's name and a user as it describes.
page() { sed -e 's/mqtt\.example\.org/localhost/g' -e "s/8883/$GAUGELINE_PORT/g" -e "s|ca\.crt|$scratch/ca.crt|g" compose/SENSORS.md; }
# block LANGUAGE WORD: the commands or the program of that page that hold the word.
block() {
    page | awk -v fence="^\`\`\`$1" -v word="$2" '/^```$/ && inside { if (index(text, word)) printf "%s", text; inside = 0 }
        inside { text = text $0 "\n" } $0 ~ fence { inside = 1; text = "" }'
}
add_hall() { printf 'secret\nsecret\n' | inside broker gaugeline passwd /data/passwd hall-1; }
check "the page's user is added" add_hall
check "and its rights" edit "$data/acl" '$ a\\nuser hall-1\ntopic write sensors/hall-1/#\ntopic write sensors/hall-1'
reachable() { block sh s_client | sh -e 2>&1 | tee /dev/stderr | grep 'Verification: OK'; }
check "the page's openssl says that the broker is reachable" reachable
page_publishes() { block sh mosquitto_pub | grep mosquitto_pub | sh -e; }
eventually "the page's mosquitto_pub publishes" page_publishes
if "${GAUGELINE_PYTHON:-python3}" -c 'import paho.mqtt.client' 2>/dev/null; then
    page_paho() { block python paho | "${GAUGELINE_PYTHON:-python3}" -; }
    check "the page's Paho publishes" page_paho
    hall_arrives() { equals 40 "$(ask telemetry "select last(humidity) from sensors where device = 'hall-1'" | awk -F , 'NR == 2 { print $4 }')"; }
    eventually "and it arrives" hall_arrives
else
    untested "Paho: it is not installed"
fi
