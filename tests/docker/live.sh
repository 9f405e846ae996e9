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
check "a client's certificate is issued" inside broker gaugeline pki issue hall-1 -d /data
check "it is there, on this machine" openssl verify -CAfile "$scratch/ca.crt" "$data/pki/clients/hall-1.crt"

check "the broker tells its status" inside broker gaugeline status -c /data/broker.toml
check "it reads everything again when it is told to" inside broker gaugeline reload -c /data/broker.toml
