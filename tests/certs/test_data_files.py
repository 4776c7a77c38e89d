"""Files with settings as people have them: what is assumed is reported."""

import pytest

from pvefw.core.errors import ConfigError, StoreError
from pvefw.instances import data_files

AS_PEOPLE_HAVE_THEM = {
    "plain": (b"CF_Token=abc=d\n", "abc=d", None),
    "double quotes": (b'CF_Token="abc d"\n', "abc d", "quotes removed"),
    "single quotes": (b"CF_Token='a\\b'\n", "a\\b", "quotes removed"),
    "escaped": (b'CF_Token="a\\"b\\\\c\\n"\n', 'a"b\\c\\n', "quotes removed"),
    "quotes inside": (b'CF_Token=a"b"c\n', 'a"b"c', None),
    "half a quote": (b"CF_Token='abc\n", "'abc", "an unmatched quote kept"),
    "two quoted words": (b"CF_Token='a' 'b'\n", "'a' 'b'", "an unmatched quote kept"),
    "export": (b"export CF_Token=abc\n", "abc", "'export' removed"),
    "export and semicolon": (
        b'export CF_Token="abc";\n',
        "abc",
        "'export' removed, quotes removed",
    ),
    "blanks": (b"  CF_Token = abc  \n", "abc", "blanks around = removed"),
    "comment": (b"CF_Token=abc # mine\n", "abc", "comment removed"),
    "comment behind quotes": (
        b"CF_Token='a # b' # mine\n",
        "a # b",
        "quotes removed, comment removed",
    ),
    "no comment": (b"CF_Token=abc#def\n", "abc#def", None),
    "empty": (b"CF_Token=\n", None, "empty, left out"),
    "empty in quotes": (b'CF_Token=""\n', None, "quotes removed, empty, left out"),
    "only a comment": (
        b"CF_Token= # to do\n",
        None,
        "blanks around = removed, comment removed, empty, left out",
    ),
}


@pytest.mark.parametrize(
    ("text", "value", "note"), AS_PEOPLE_HAVE_THEM.values(), ids=AS_PEOPLE_HAVE_THEM
)
def test_what_was_assumed_is_said(tmp_path, text, value, note):
    path = tmp_path / "data"
    path.write_bytes(b"# my provider\n\n" + text)
    data = data_files.read(path)
    assert data.values.get("CF_Token") == value
    assert data.notes == ((f"CF_Token: {note}",) if note else ())


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("\ufeffCF_Token=ü\n".encode(), "byte order mark removed"),
        ("\ufeffCF_Token=ü\n".encode("utf-16-le"), "read as UTF-16"),
        ("\ufeffCF_Token=ü\n".encode("utf-16-be"), "read as UTF-16"),
        ("CF_Token=ü\r\n".encode(), "line ends of Windows removed"),
    ],
)
def test_files_of_any_editor(tmp_path, text, note):
    path = tmp_path / "data"
    path.write_bytes(text)
    assert data_files.read(path) == data_files.Data({"CF_Token": "ü"}, (note,))


def test_raw_keeps_all_of_a_value(tmp_path):
    path = tmp_path / "data"
    path.write_text('CF_Token="abc" # d\nCF_Empty=\n')
    assert data_files.read(path, raw=True).values == {"CF_Token": '"abc" # d', "CF_Empty": ""}


@pytest.mark.parametrize("text", ["CF_Token", "= abc", "CF_Token=a\nCF_Token=b"])
def test_what_is_no_setting_is_refused(tmp_path, text):
    path = tmp_path / "data"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"not KEY=VALUE|occurs twice"):
        data_files.read(path)


def test_what_is_no_text_is_refused(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"CF_Token=\xff\xfe\xfa")
    with pytest.raises(StoreError, match="could not read the settings"):
        data_files.read(path)
