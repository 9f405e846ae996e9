"""The command line that all scripts in this directory share: publish one message at QoS 1 over TLS, as a user."""

import argparse
import pathlib


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--version", choices=["3.1.1", "5.0"], required=True)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ca", required=True)
    parser.add_argument("--user")
    parser.add_argument("--password-file", type=pathlib.Path)
    parser.add_argument("--cert", help="the client's certificate")
    parser.add_argument("--key", help="its private key")
    parser.add_argument("--transport", choices=["tcp", "websockets"], default="tcp")
    parser.add_argument("topic")
    parser.add_argument("payload")
    arguments = parser.parse_args()
    arguments.password = arguments.password_file and arguments.password_file.read_text().strip()
    return arguments
