"""Serves acme2certifier's WSGI application over TLS. Run by the interpreter of its own environment.

Arguments: port, certificate, key. The configuration is in ``ACME_SRV_CONFIGFILE``.
"""

import ssl
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIServer, make_server

from acme2certifier.share.acme2certifier_wsgi import application


class Server(ThreadingMixIn, WSGIServer):
    """A slow client must not keep another one waiting."""

    daemon_threads = True


def main() -> None:
    """Serve until killed."""
    port, certificate, key = sys.argv[1:]

    def over_tls(environ, start_response):
        environ["wsgi.url_scheme"] = "https"
        return application(environ, start_response)

    server = make_server("127.0.0.1", int(port), over_tls, server_class=Server)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
