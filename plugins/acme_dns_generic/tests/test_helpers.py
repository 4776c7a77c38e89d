"""Every function that a dnsapi script may call, against known values, in bash and in dash."""

import base64
import hashlib
import hmac
import http.server
import json
import shutil
import ssl
import subprocess
import threading
import time
import urllib.parse
from importlib import resources

import pytest
import trustme
from servers.bind import bind
from servers.nameserver import Zone

HELPERS = resources.files("pvefw_acme_dns_generic").joinpath("helpers.sh").read_text()
SHELLS = [shell for shell in ("bash", "dash") if shutil.which(shell)]
JSON = '{ "a" : [ 1,\n 2 ], "b" : "x \\" y : z" }\n'


@pytest.fixture(params=SHELLS)
def sh(request, tmp_path):
    """Runs shell code after the helpers; output, or the whole result."""

    def run(code, given="", *, whole=False, **env):
        done = subprocess.run(
            [request.param, "-s"],
            input=f"{HELPERS}\nmain() {{\n{code}\n}}\nmain <<'PVEFW_INPUT'\n{given}\nPVEFW_INPUT\n",
            capture_output=True,
            text=True,
            env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "TMPDIR": str(tmp_path), **env},
            timeout=60,
            check=False,
        )
        return done if whole else done.stdout

    return run


@pytest.mark.parametrize(
    ("code", "given", "expected"),
    [
        ("_math 3 + 4 \\* 2", "", "11"),
        ("_math '(1+2)*3'", "", "9"),
        ("_egrep_o 'b+'", "abbbc", "bbb\n"),
        ("_head_n 1", "one\ntwo", "one\n"),
        ("_tail_n 1", "one\ntwo", "two\n"),
        ("_lower_case", "AbC", "abc\n"),
        ("_upper_case", "AbC", "ABC\n"),
        ("_normalizeJson", JSON, '{"a":[1,2],"b":"x \\" y : z"}'),
        ("_json_decode", r"a\/b \"c\" d\\e", 'a/b "c" d\\e\n'),
        ("printf '%s' 'a b/c?d=é~' | _url_encode", "", "a%20b%2fc%3fd%3d%c3%a9~"),
        ("printf '%s' 'a b/' | _url_encode upper-hex", "", "a%20b%2F"),
        ("printf '%s' 'AZaz09-_.~' | _url_encode", "", "AZaz09-_.~"),
        ("printf '%s' hello | _base64", "", "aGVsbG8="),
        ("printf '%s' aGVsbG8= | _dbase64", "", "hello"),
        ("printf 'a\\377\\001' | _hex_dump", "", " 61 ff 01"),
        ("printf '%s' '61 62 0a' | _h2b", "", "ab\n"),
        ("printf '%s' 'a+b/c=' | _url_replace", "", "a-b_c"),
        ("_getfield 'a,b,c' 2", "", "b\n"),
        ("_getfield 'a:b:c' 3 :", "", "c\n"),
        ("_idn www.example.com", "", "www.example.com"),
        ("printf '%s' \"$(__green ok)$(__red no)\"", "", "okno"),
    ],
)
def test_filters(sh, code, given, expected):
    assert sh(code, given) == expected


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("_contains 'abc.def' 'c\\.d'", 0),
        ("_contains 'abcxdef' 'c\\.d'", 1),
        ("_contains '-x' '-x'", 0),
        ("_startswith abc ab", 0),
        ("_startswith abc bc", 1),
        ("_endswith abc bc", 0),
        ("_endswith abc ab", 1),
        ("_exists cat", 0),
        ("_exists no-such-program", 1),
        ("_err failed", 1),
        ("_info fine", 0),
        ("_debug quiet", 0),
        ("_secure_debug3 key secret", 0),
    ],
)
def test_statuses(sh, code, status):
    assert sh(code, whole=True).returncode == status


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512"])
def test_digests(sh, algorithm):
    digest = hashlib.new(algorithm, b"hello")
    assert sh(f"printf hello | _digest {algorithm} hex") == digest.hexdigest()
    assert sh(f"printf hello | _digest {algorithm}") == base64.b64encode(digest.digest()).decode()


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("key", [b"k", b"\x00\xffkey", b"x" * 64, b"y" * 200])
def test_hmac_is_rfc_2104(sh, algorithm, key):
    expected = hmac.new(key, b"message", algorithm)
    assert sh(f"printf message | _hmac {algorithm} {key.hex()} hex") == expected.hexdigest()
    raw = sh(f"printf message | _hmac {algorithm} {key.hex()} | _base64")
    assert raw == base64.b64encode(expected.digest()).decode()


def test_signatures_and_keys(sh, tmp_path):
    key = tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "RSA", "-out", key], check=True, capture_output=True
    )
    signature = tmp_path / "signature"
    signature.write_bytes(base64.b64decode(sh(f"printf data | _sign {key} sha256")))
    public = tmp_path / "public.pem"
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True)
    verdict = subprocess.run(
        ["openssl", "dgst", "-sha256", "-verify", public, "-signature", signature],
        input=b"data",
        capture_output=True,
        check=True,
    )
    assert b"Verified OK" in verdict.stdout
    assert sh(f"_isRSA {key}", whole=True).returncode == 0


def test_configuration_lives_in_the_shell(sh, tmp_path):
    code = """
        CONF_Token='a b"c$d'
        printf '%s|' "$(_readaccountconf_mutable Token)"
        _saveaccountconf_mutable Token "new'value"
        _savedomainconf Other x
        printf '%s|%s|' "$(_readaccountconf Token)" "$(_readdomainconf Other)"
        _clearaccountconf_mutable Token
        printf '%s|%s|' "$(_readaccountconf Token)" "$(_readaccountconf Missing)"
        _saveaccountconf 'x;touch evil' y || printf refused
    """
    assert sh(code) == "a b\"c$d|new'value|x|||refused"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "account.conf",
        "domain.conf",
        "http.header",
    ]
    assert all(path.read_text() == "" for path in tmp_path.iterdir())


def test_messages(sh):
    done = sh("_info one two; _err three; _debug four; _secure_debug five secret", whole=True)
    assert done.stderr == "\036Ione two\n\036Ethree\n"
    loud = sh("_debug four x; _secure_debug five secret", whole=True, DEBUG="1").stderr
    assert loud == "\036Dfour x\n\036Dfive (hidden)\n"


def test_the_rest(sh, tmp_path):
    assert abs(int(sh("_time")) - int(sh("date +%s"))) <= 5
    assert sh("_utc_date")[4] == "-"
    assert sh('f=$(_mktemp); test -f "$f" && printf yes') == "yes"
    file = tmp_path / "file"
    file.write_text("aXb\n")
    sh(f"_sed_i s/X/Y/ {file}")
    assert file.read_text() == "aYb\n"
    assert sh("_H1=x; _resethttp; printf '%s' \"[$_H1]\"") == "[]"


# --- the network ------------------------------------------------------------------------------------


@pytest.fixture
def echo():
    """A server that answers with what it was sent."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            said = {
                "method": self.command,
                "path": self.path,
                "headers": {key.lower(): value for key, value in self.headers.items()},
                "body": body.decode(),
            }
            self.send_response(418 if "teapot" in self.path else 200)
            self.send_header("X-Answer", "yes")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(json.dumps(said).encode())

        do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_GET  # noqa: N815 - http.server looks for these names

        def log_message(self, *_args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


BODY = 'line "one"\n\ttwo \\ back % & é\r\nthree'


@pytest.mark.parametrize("method", ["", "PUT", "DELETE", "PATCH"])
def test_post_sends_method_headers_and_body_as_they_are(sh, echo, method):
    quoted = BODY.replace("'", "'\\''")
    said = json.loads(
        sh(
            f"""
            export _H1='Authorization: Bearer "tok\\en"'
            _H5='X-Five: 5'
            _post '{quoted}' '{echo}/a?b=c' '' '{method}' application/json
            """
        )
    )
    assert said["method"] == (method or "POST")
    assert said["path"] == "/a?b=c"
    assert said["body"] == BODY
    assert said["headers"]["authorization"] == 'Bearer "tok\\en"'
    assert said["headers"]["x-five"] == "5"
    assert said["headers"]["content-type"] == "application/json"


def test_post_with_base64_and_get(sh, echo):
    assert json.loads(base64.b64decode(sh(f"_post x {echo} needbase64")))["body"] == "x"
    assert json.loads(sh(f"_get '{echo}/get'"))["method"] == "GET"
    assert "X-Answer: yes" in sh(f"_get '{echo}/get' onlyheader")
    assert "X-Answer: yes" in sh(f'_get {echo}/get >/dev/null; cat "$HTTP_HEADER"')


def test_only_a_failing_transport_is_a_failure(sh, echo):
    assert sh(f"_get {echo}/teapot", whole=True).returncode == 0
    port = urllib.parse.urlsplit(echo).port
    assert sh(f"_get http://127.0.0.2:{port}/", whole=True).returncode != 0


def test_the_quieter_and_older_names_of_messages(sh):
    said = sh("_log one; _debug2 two; _debug3 three", whole=True).stderr
    assert "Ione\n" in said
    assert "two" not in said
    assert "three" not in said
    loud = sh("_debug2 two; _debug3 three; _secure_debug2 four key", whole=True, DEBUG="1").stderr
    for line in ("Dtwo\n", "Dthree\n", "Dfour (hidden)\n"):
        assert line in loud


@pytest.mark.parametrize("clear", ["_clearaccountconf", "_cleardomainconf"])
def test_a_value_that_was_saved_can_be_cleared(sh, clear):
    kind = clear.removeprefix("_clear")
    code = f"""
        _save{kind} Token value
        printf '%s.' "$(_read{kind} Token)"
        {clear} Token
        printf '%s' "$(_read{kind} Token)"
    """
    assert sh(code) == "value."


def test_a_certificates_fingerprint(sh, tmp_path):
    pem = trustme.CA().cert_pem.bytes()
    path = tmp_path / "c.pem"
    path.write_bytes(pem)
    der = ssl.PEM_cert_to_DER_cert(pem.decode())
    expected = hashlib.sha1(der, usedforsecurity=False).hexdigest().upper()
    assert sh(f"_fingerprint {path}").strip() == expected


def test_a_look_up_at_a_real_server(sh, tmp_path):
    zone = Zone("look.test.", {"ns1": "127.0.0.1"}, 'www TXT "found"')
    with bind(tmp_path / "bind", [zone]) as server:
        (tmp_path / ".digrc").write_text(f"@{server.address} -p {server.port}\n")
        assert sh("_ns_lookup www.look.test TXT", HOME=str(tmp_path)) == '"found"\n'


def test_sleeping_takes_its_time(sh):
    began = time.monotonic()
    assert sh("_sleep 0.3; printf awake") == "awake"
    assert time.monotonic() - began >= 0.3
