"""Publishes with gmqtt."""

import asyncio
import ssl

import gmqtt
from gmqtt.mqtt.constants import MQTTv50, MQTTv311

from arguments import parse

VERSIONS = {"3.1.1": MQTTv311, "5.0": MQTTv50}


async def main():
    arguments = parse()
    client = gmqtt.Client(f"gmqtt-{arguments.version}")
    client.set_auth_credentials(arguments.user, arguments.password)
    await client.connect(
        arguments.host,
        arguments.port,
        ssl=ssl.create_default_context(cafile=arguments.ca),
        version=VERSIONS[arguments.version],
    )
    client.publish(arguments.topic, arguments.payload, qos=1)
    # gmqtt keeps what is not acknowledged; its storage is empty once the PUBACK is there.
    await asyncio.wait_for(client._persistent_storage.wait_empty(), timeout=30)
    await client.disconnect()


asyncio.run(main())
