"""Notes whose lines end with CR LF."""

from pvefw.store.node_config import NodeConfig


def test_notes_with_crlf_are_kept_with_plain_line_ends():
    config = NodeConfig().described("rack 12\r\nrow 3\r\n")
    assert config.render() == b"#rack 12\n#row 3\n"
    assert config.described("rack 12\r\nrow 3\r\n") is config


def test_notes_of_a_file_with_crlf_are_read_with_plain_line_ends():
    for data in (b"#rack 12\r\nacmedomain0: a.example\r\n", b"#rack 12%0D\n"):
        assert NodeConfig.parse(data, "config").description == "rack 12\n"
