"""Publishes with Eclipse Paho."""

import paho.mqtt.client as mqtt

from arguments import parse

VERSIONS = {"3.1.1": mqtt.MQTTv311, "5.0": mqtt.MQTTv5}

arguments = parse()
client = mqtt.Client(
    mqtt.CallbackAPIVersion.VERSION2,
    client_id=f"paho-{arguments.version}",
    protocol=VERSIONS[arguments.version],
    transport=arguments.transport,
)
if arguments.user:
    client.username_pw_set(arguments.user, arguments.password)
client.tls_set(ca_certs=arguments.ca, certfile=arguments.cert, keyfile=arguments.key)
client.connect(arguments.host, arguments.port)
client.loop_start()
message = client.publish(arguments.topic, arguments.payload, qos=1)
message.wait_for_publish(timeout=30)
assert message.is_published(), "no PUBACK"
client.disconnect()
client.loop_stop()
