"""Answers of the management API, checked against the schema of their endpoint."""

from jsonschema import Draft202012Validator

from pvefw_api.schema import published


def as_json_schema(schema):
    """A schema in Proxmox VE's dialect as JSON schema, nothing allowed that it does not say."""
    kinds = {"boolean": {"enum": [0, 1]}, "any": {}}
    kind = schema.get("type")
    found = dict(kinds.get(kind, {"type": kind} if kind else {}))
    found |= {key: schema[key] for key in ("enum", "pattern") if key in schema}
    if kind == "object" and "properties" in schema:
        found["properties"] = {
            key: as_json_schema(part) for key, part in schema["properties"].items()
        }
        found["required"] = [
            key
            for key, part in schema["properties"].items()
            if not part.get("optional") and "[n]" not in key
        ]
    if "items" in schema:
        found["items"] = as_json_schema(schema["items"])
    return found


def assert_fits(endpoint, answer):
    """Nothing in an answer is other than its schema says."""
    ours = f"{endpoint.method} {endpoint.path}" not in published()
    schema = endpoint.returns if ours else as_json_schema(endpoint.returns)
    faults = [
        f"{error.json_path}: {error.message}"
        for error in Draft202012Validator(schema).iter_errors(answer)
    ]
    assert faults == []
