"""Words: each once, under the language in which wordfreq itself finds it most frequent."""

import importlib.metadata
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from stages.common.errors import InputError
from stages.prepare import packages
from stages.prepare.sources import words
from tests.conftest import source_of

pytestmark = [pytest.mark.pipeline, pytest.mark.slow]  # loading takes half a minute


@pytest.fixture(scope="module")
def table():
    return words.load(source_of("words"))


def spelt(letters: np.ndarray) -> str:
    return letters.tobytes().decode("utf-16-le").rstrip("\0")


def test_every_word_stands_once_in_latin_letters(table):
    assert len(table.labels) == source_of("words").n_rows == len(np.unique(table.features.blocks["letters"], axis=0))
    sample = [spelt(row) for row in table.features.blocks["letters"][::1000]]
    assert all(2 <= len(word) <= 24 for word in sample)
    assert all(unicodedata.name(letter).startswith("LATIN") for word in sample for letter in word)


def test_a_word_belongs_to_the_language_where_wordfreq_finds_it_most_frequent(table):
    from wordfreq import get_frequency_dict

    codes = [name[6:8] for name in words.SHA256]  # large_ca.msgpack.gz and so on
    shares = {code: get_frequency_dict(code, "large") for code in ("ca", "en", "sv")}
    for row in np.random.default_rng(0).choice(len(table.labels), 3000, replace=False):
        word, own = spelt(table.features.blocks["letters"][row]), codes[table.labels[row]]
        if own in shares:
            assert all(shares[own][word] >= of.get(word, 0) for of in shares.values()), (word, own)


def test_an_altered_data_package_is_refused(tmp_path, monkeypatch):
    folder = Path(str(importlib.metadata.distribution("wordfreq").locate_file("wordfreq/data")))
    for name in words.SHA256:
        shutil.copy(folder / name, tmp_path)
    (tmp_path / "large_sv.msgpack.gz").write_bytes(b"altered")

    class Elsewhere:
        def locate_file(self, _: str) -> Path:
            return tmp_path

    monkeypatch.setattr(packages, "distribution", lambda _: Elsewhere())
    with pytest.raises(InputError, match=r"large_sv\.msgpack\.gz has sha256 .*; reinstall it with"):
        words.load(source_of("words"))
    (tmp_path / "large_ca.msgpack.gz").unlink()
    with pytest.raises(InputError, match=r"lacks its file large_ca\.msgpack\.gz"):
        words.load(source_of("words"))
