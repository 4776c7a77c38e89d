"""Reads of another node are handed on to it, as Proxmox VE does with what it marks as ``proxyto``.

Who calls is known here already, and is checked there once more: the caller's own ticket or token goes
along, and is good there because the nodes of a cluster share ``/etc/pve``. It is shown to nobody but a
node of the cluster with the certificate that the cluster has of it.
"""

import contextlib
import http.client
import ssl
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote, urlencode

from pvefw.core import causes
from pvefw.store import files, nodes
from pvefw.store.paths import Paths
from pvefw_api.errors import ApiError
from pvefw_api_server.request import Request

HEADER = "PVEDisableProxy"
"""What a call has that was handed on: it is not handed on again. The name is Proxmox VE's."""
BAD_GATEWAY = 502
_OK, _UNAUTHORIZED = 200, 401
_SECONDS = 30.0
_LARGEST = 64 << 20
"""Bytes of an answer: long logs and lists are below that."""
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def hand_on(paths: Paths, node: str, request: Request, port: int) -> Any:
    """Have another node answer a call.

    :param request: the call; who makes it is known.
    :param port: where the other node serves the API.
    :returns: what it answers.
    :raises NotFound: there is no such node, or nobody knows its address.
    :raises ApiError: it refuses, with its status and words; or 502: it cannot be asked.
    """
    nodes.check_known(paths, node, f"GET {request.path}")
    if request.text("handed-on"):
        raise _failed(node, f"its address leads to node {paths.node}")
    connection = _connection(nodes.address(paths, node), port)
    try:
        connection.connect()
        if connection.sock.getpeercert(binary_form=True) not in list(_certificates(paths, node)):
            raise _failed(node, "it does not show the certificate that the cluster has of it")
        connection.request("GET", _target(request), headers=_headers(request))
        answer = connection.getresponse()
        body = answer.read(_LARGEST)
    except (OSError, http.client.HTTPException) as error:
        raise _failed(node, causes.of(error)) from error
    finally:
        connection.close()
    if answer.status == _UNAUTHORIZED:  # as it is, it would end the session here
        raise _failed(node, f"it does not take what {paths.node} takes: they do not share /etc/pve")
    return _data(node, answer.status, body)


def _failed(node: str, why: str) -> ApiError:
    return ApiError(
        BAD_GATEWAY,
        f"node {node} cannot be asked: {why}",
        hint=f"Look there: systemctl status pvefw-api. Or call it on {node} itself.",
    )


def _connection(address: str, port: int) -> http.client.HTTPSConnection:
    """A connection that is to be compared with :func:`_certificates` before anything is sent."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # only one certificate will do, whoever has signed it
    return http.client.HTTPSConnection(address, port, timeout=_SECONDS, context=context)


def _certificates(paths: Paths, node: str) -> Iterator[bytes]:
    """What a node may show (DER): the certificate of its services, or the cluster's authority's."""
    for name in (paths.proxy_certificate.name, paths.node_certificate.name):
        pem = (files.read_if_exists(paths.node_dir(node) / name) or b"").decode("ascii", "replace")
        with contextlib.suppress(ValueError):  # there is none, or it is damaged
            end = pem.index(_END) + len(_END)
            yield ssl.PEM_cert_to_DER_cert(pem[pem.index(_BEGIN) : end])


def _target(request: Request) -> str:
    words = [quote(unquote(part), safe="") for part in request.path.split("/")]
    return f"/api2/json{'/'.join(words)}?{urlencode(request.parameters)}"


def _headers(request: Request) -> dict[str, str]:
    """What shows there who calls: as it came, but what was not looked at here."""
    if authorization := request.text("authorization"):
        return {HEADER: "true", "Authorization": authorization}
    return {HEADER: "true", "Cookie": f"PVEAuthCookie={quote(request.text('ticket'), safe='')}"}


def _data(node: str, status: int, body: bytes) -> Any:
    """What an answer says.

    :raises ApiError: a refusal; or it says nothing.
    """
    try:
        document = files.parse_json(body)
        data, message, errors = (
            document["data"],
            str(document.get("message", "")),
            document.get("errors") or {},
        )
        refused = ApiError(status, message.strip() or f"status {status}", dict(errors))
    except files.DAMAGED as error:
        raise _failed(node, f"its answer of status {status} is none of this API") from error
    if status != _OK:
        raise refused
    return data
