"""Subscribes with Eclipse Paho in a session that outlives its connections, and prints topics and payloads for ever."""

import argparse
import pathlib

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

parser = argparse.ArgumentParser()
parser.add_argument("--version", choices=["3.1.1", "5.0"], required=True)
parser.add_argument("--client-id", required=True)
parser.add_argument("--qos", type=int, required=True)
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--ca", required=True)
parser.add_argument("--user", required=True)
parser.add_argument("--password-file", type=pathlib.Path, required=True)
parser.add_argument("--transport", choices=["tcp", "websockets"], default="tcp")
parser.add_argument("topics", nargs="+")
arguments = parser.parse_args()

is_v5 = arguments.version == "5.0"
client = mqtt.Client(
    mqtt.CallbackAPIVersion.VERSION2,
    client_id=arguments.client_id,
    protocol=mqtt.MQTTv5 if is_v5 else mqtt.MQTTv311,
    transport=arguments.transport,
    **({} if is_v5 else {"clean_session": False}),
)
client.username_pw_set(arguments.user, arguments.password_file.read_text().strip())
client.tls_set(ca_certs=arguments.ca)
client.reconnect_delay_set(min_delay=1, max_delay=1)


def on_connect(client, userdata, flags, reason, properties):
    if not flags.session_present:
        client.subscribe([(topic, arguments.qos) for topic in arguments.topics])


def on_message(client, userdata, message):
    print(message.topic, message.payload.decode().strip(), flush=True)


client.on_connect = on_connect
client.on_message = on_message
options = {}
if is_v5:
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 3600
    options = {"clean_start": False, "properties": properties}
client.connect("localhost", arguments.port, **options)
client.loop_forever()
