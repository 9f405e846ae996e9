"""Publishes with aiomqtt."""

import asyncio
import ssl

import aiomqtt

from arguments import parse

VERSIONS = {"3.1.1": aiomqtt.ProtocolVersion.V311, "5.0": aiomqtt.ProtocolVersion.V5}


async def main():
    arguments = parse()
    async with aiomqtt.Client(
        arguments.host,
        arguments.port,
        username=arguments.user,
        password=arguments.password,
        identifier=f"aiomqtt-{arguments.version}",
        protocol=VERSIONS[arguments.version],
        tls_context=ssl.create_default_context(cafile=arguments.ca),
    ) as client:
        # Returns once the PUBACK is there, or raises.
        await client.publish(arguments.topic, arguments.payload, qos=1, timeout=30)


asyncio.run(main())
