"""What nginx needs to serve one certificate from a directory of its own."""

from pathlib import Path

_CONFIGURATION = """
daemon off;
pid {here}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {here}/body; proxy_temp_path {here}/proxy; fastcgi_temp_path {here}/fastcgi;
    uwsgi_temp_path {here}/uwsgi; scgi_temp_path {here}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
    }}
}}
"""


def write_configuration(here: Path, port: int, certificate: Path, key: Path) -> Path:
    """Write ``nginx.conf`` into a directory."""
    made = here / "nginx.conf"
    made.write_text(_CONFIGURATION.format(here=here, port=port, certificate=certificate, key=key))
    return made
