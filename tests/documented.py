"""Holds what commands print against what the reference of JSON output says."""

import json
from functools import cache

from jsonschema import Draft202012Validator

from pvefw.cli.schemas import SCHEMAS


@cache
def _validator(command):
    return Draft202012Validator(SCHEMAS[command])


def faults(command, value):
    """Where a command's output is not as documented."""
    said = json.loads(json.dumps(value))
    return [
        f"{command}: {error.json_path}: {error.message}"
        for error in _validator(command).iter_errors(said)
    ]
