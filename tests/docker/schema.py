"""Checks the files of compose/ against the JSON schema of the Compose specification that docker-compose 1.29 brings."""

import json
import pathlib

import compose
import jsonschema
import yaml

SCHEMA = json.loads((pathlib.Path(compose.__file__).parent / "config" / "compose_spec.json").read_text())
FILES = sorted(pathlib.Path(__file__).resolve().parents[2].joinpath("compose").glob("*.yaml"))

for path in FILES:
    jsonschema.Draft7Validator(SCHEMA).validate(yaml.safe_load(path.read_text()))
    print(f"{path.name}: as the specification says")
assert len(FILES) == 3, FILES
