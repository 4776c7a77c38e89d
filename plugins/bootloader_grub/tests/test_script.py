"""GRUB's language: what is quoted reads back, and GRUB's own parser takes it."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvefw_bootloader_grub import script

PRINTABLE = st.text(
    st.characters(blacklist_categories=("C", "Z"), whitelist_characters=" "), max_size=40
)
NASTY = st.text("'\"\\$;|&<>{}[]#`~ !()*?aü=-" + string.digits, max_size=40)


@given(st.lists(PRINTABLE | NASTY, min_size=1, max_size=5))
def test_what_is_quoted_reads_back(words):
    assert list(script.commands(script.command(*words) + "\n")) == [words]


@given(st.lists((PRINTABLE | NASTY).filter(str.strip), min_size=1, max_size=5))
def test_a_value_splits_into_the_words_that_were_quoted(words):
    assert script.words(script.command(*words)) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("quiet  splash", ["quiet", "splash"]),
        (r"memmap=10M\$0x4000", ["memmap=10M$0x4000"]),
        ("memmap=10M$0x4000", ["memmap=10M$0x4000"]),
        ('dyndbg="file a.c +p"', ["dyndbg=file a.c +p"]),
        (r"a=\"b c\"", ['a="b', 'c"']),
        ("a;b #c", ["a;b", "#c"]),
        ("", []),
    ],
)
def test_a_value_of_the_administrator(value, words):
    assert script.words(value) == words


@pytest.mark.parametrize("value", ["it's", 'a="b', "linux /vmlinuz 'a"])
def test_a_quote_that_is_not_closed(value):
    with pytest.raises(script.Unbalanced, match="not closed"):
        script.words(value)
    with pytest.raises(script.Unbalanced, match="not closed"):
        list(script.commands(value))


def test_control_characters_never_end_a_line():
    assert script.quote("a\nb\0c\rd") == "'a b c d'"


def test_backslashes_within_double_quotes_and_line_ends():
    assert script.words(r'"a\"b\$c\d"') == [r'a"b$c\d']
    assert list(script.commands("set a=b\\\nc\n")) == [["set", "a=bc"]]
