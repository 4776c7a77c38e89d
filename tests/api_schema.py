"""Answers of the management API, held against the schema of their endpoint."""

from jsonschema import Draft202012Validator

from pvefw_api.schema import published


def as_json_schema(one):
    """A schema in Proxmox VE's dialect as JSON schema, nothing allowed that it does not say."""
    kinds = {"boolean": {"enum": [0, 1]}, "any": {}}
    kind = one.get("type")
    found = dict(kinds.get(kind, {"type": kind} if kind else {}))
    found |= {key: one[key] for key in ("enum", "pattern") if key in one}
    if kind == "object" and "properties" in one:
        found["properties"] = {key: as_json_schema(part) for key, part in one["properties"].items()}
        found["required"] = [
            key
            for key, part in one["properties"].items()
            if not part.get("optional") and "[n]" not in key
        ]
    if "items" in one:
        found["items"] = as_json_schema(one["items"])
    return found


def assert_fits(endpoint, answer):
    """Nothing in an answer is other than its schema says."""
    ours = f"{endpoint.method} {endpoint.path}" not in published()
    schema = endpoint.returns if ours else as_json_schema(endpoint.returns)
    faults = [
        f"{one.json_path}: {one.message}"
        for one in Draft202012Validator(schema).iter_errors(answer)
    ]
    assert faults == []
