"""Documents that anybody may have written: read, or refused in one line of ours."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptycho.base import documents
from ptycho.base.errors import DataContractError, RunDirectoryError


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b'{"a": "\\ud800"}', "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"1" * 10_000, "not valid JSON"),
        (b"null", "holds NoneType where a table is expected"),
        (b"5", "holds int where a table is expected"),
        (b"[]", "holds list where a table is expected"),
    ],
)
@pytest.mark.finding("FOREIGN-DOCUMENT-001")
def test_what_is_no_table_is_refused_with_its_path(text, words, tmp_path):
    path = tmp_path / "d.json"
    path.write_bytes(text)
    with pytest.raises(RunDirectoryError, match=words) as caught:
        documents.read_table(path, RunDirectoryError)
    assert str(path) in str(caught.value)


@given(st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists, max_leaves=5))
def test_what_was_written_is_read(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("documents") / "d.json"
    text = json.dumps(value)
    path.write_text(text)
    assert documents.read_json(path) == value


def test_a_pipe_does_not_hang_and_a_folder_is_none(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, words in (("pipe", "it is a pipe"), (".", "it is a folder"), ("none", "no such file")):
        with pytest.raises(DataContractError, match=words):
            documents.read_json(tmp_path / name)


def test_text_of_another_encoding_is_none(tmp_path):
    (tmp_path / "d.json").write_bytes(b"\xff\xfe")
    with pytest.raises(DataContractError, match="is no text in UTF-8"):
        documents.read_json(tmp_path / "d.json")


def test_one_that_is_far_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "MOST_BYTES", 10)
    (tmp_path / "d.json").write_text(json.dumps("x" * 20))
    with pytest.raises(DataContractError, match="has 22 bytes, and no such file of ours has more than 10"):
        documents.read_json(tmp_path / "d.json")
