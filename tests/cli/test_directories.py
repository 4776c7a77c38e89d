"""``pvefw acme directory list``: nobody is asked without ``--ask``; what a directory says is shown."""

import json

import pytest
from servers.pebble import pebble as run_pebble
from servers.processes import free_port
from whole_host import Host


@pytest.fixture
def listed(tmp_path):
    host = Host(tmp_path / "root")

    def do(*arguments):
        said = host.run("acme", "directory", "list", *arguments, "--output-format", "json")
        return json.loads(said)

    return do


def test_nobody_is_asked_without_being_told_to(listed):
    found = {row["name"]: row for row in listed()}
    assert {"letsencrypt", "zerossl", "google", "actalis"} <= set(found)
    assert found["letsencrypt"]["binding"] is False
    assert "tls-alpn-01" in found["letsencrypt"]["challenges"]
    assert found["zerossl"]["binding"] is True
    assert {value["profiles"] for value in found.values()} == {None}


def test_what_a_directory_says(listed, tmp_path):
    with run_pebble(tmp_path / "pebble", binding_keys={"kid": "a" * 43}) as server:
        [row] = listed(server.directory, "--ask", "--ca-file", server.ca_file)
    assert row["binding"] is True
    assert row["problem"] == ""
    assert isinstance(row["profiles"], list)


def test_one_that_cannot_be_read_says_why(listed):
    [row] = listed(f"https://127.0.0.1:{free_port()}/directory", "--ask")
    assert "127.0.0.1" in row["problem"]
    assert row["profiles"] is None
