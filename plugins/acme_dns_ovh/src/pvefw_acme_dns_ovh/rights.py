"""What a consumer key must be allowed to do, and how to get one that may."""

import json
from collections.abc import Sequence

AccessRule = dict[str, str]

LOGIN = "pvefw acme plugin login {instance}"
"""Core puts the instance's name in."""
_IN_A_ZONE = (
    ("GET", "record"),
    ("GET", "record/*"),
    ("POST", "record"),
    ("DELETE", "record/*"),
    ("POST", "refresh"),
)


def access_rules(zones: Sequence[str] = ()) -> list[AccessRule]:
    """All that this plugin does, and nothing more.

    A key for single zones may not list those of the account.

    :param zones: for these zones only, with or without a final dot; empty for every zone.
    """
    rules = [] if zones else [("GET", "/domain/zone")]
    for zone in [zone.rstrip(".") for zone in zones] or ["*"]:
        rules += [(method, f"/domain/zone/{zone}/{rest}") for method, rest in _IN_A_ZONE]
    rules.append(("GET", "/auth/currentCredential"))
    return [{"method": method, "path": path} for method, path in rules]


def how_to_get_a_key(base: str) -> str:
    """The command, and the request that it makes, one line each.

    Nothing is requested here: a renewal that fails every night would leave a pending key each time.
    """
    rules = [f"    {json.dumps(rule)}," for rule in access_rules()]
    rules[-1] = rules[-1].removesuffix(",")
    return "\n".join(
        [
            f"Get a consumer key with the rights that are needed: {LOGIN}",
            f"Or one for a single zone: {LOGIN} --zone ZONE",
            "Or by hand, with the application key in the header X-Ovh-Application:",
            f"  POST {base}/auth/credential",
            '  {"accessRules": [',
            *rules,
            "  ]}",
            "Open the validationUrl of the answer, and set OVH_CK to its consumerKey.",
        ]
    )
