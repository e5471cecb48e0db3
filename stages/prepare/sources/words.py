"""wordfreq: in which of 13 languages is this word most at home? 3.5 million distinct words in Latin letters.

Read from the files of the installed package, which is never imported.
"""

import gzip
import unicodedata

import msgpack
import numpy as np
from numpy.typing import NDArray

from stages.common.features import Features
from stages.contract.dataset import Column
from stages.prepare.packages import checked_folder
from stages.prepare.params import Source
from stages.prepare.tables import Table

SHA256 = {
    "large_ca.msgpack.gz": "386451032613893f6a72ab8b6de52faef4aea1a61b8e089f6a1fb97092ed5b5b",
    "large_cs.msgpack.gz": "3971d2ea15c0d0218fb31cdf4f109dfa4027d8f4ea52bd7b574a2b7678f1e60f",
    "large_de.msgpack.gz": "8ef04d3f4a28fb48d800d25fa80a96d90a5f80c8496c9a453f99f887c6ad3c12",
    "large_en.msgpack.gz": "dffae8066b78dce0a6667cf5f58e567054f902674667090a7ac8a8a44628b05c",
    "large_es.msgpack.gz": "14f326b4f68d517f9b8b99c1e26ef56a508d2dc8d0ee7a9e6e8732ddab1aa65e",
    "large_fi.msgpack.gz": "98fb498142d5cb4ff47df65d6c4784dff4fa2fc6d191a0b26cf6341101922151",
    "large_fr.msgpack.gz": "6f16cd80b9b66c5698ed002becea83ae30d0584c3205f1cf01714ad562c00c8b",
    "large_it.msgpack.gz": "0b5500e425a50e0f1fefb256d9125e74f586ac6b2f2a6e41bc96634bd5613cc7",
    "large_nb.msgpack.gz": "8ac61baa0d7619b2d7529dcab18b6ad32e5f8915a1bf8619fe25779a2ad8386f",
    "large_nl.msgpack.gz": "cfdae01b2ccd5bc94be046645b6ba8682e65d6709beedf6ab98d7bdc5414d671",
    "large_pl.msgpack.gz": "fac63e49c49ea2e39dd8a48152d7e54cec0920abbc59993088063ed5d9b528c2",
    "large_pt.msgpack.gz": "7d764586bca6262f554d5fa77ad8e6841ef42534776e70558065140853660ce2",
    "large_sv.msgpack.gz": "16971de5b9c6731b0dc3647743f93357bd7ead336f783aa3f747db6855e36a90",
}
NAMES = ["Catalan", "Czech", "German", "English", "Spanish", "Finnish", "French", "Italian", "Norwegian", "Dutch",
         "Polish", "Portuguese", "Swedish"]  # fmt: skip
WIDTH = 24  # letters of the longest word that is kept


def load(_: Source) -> Table:
    """Every word of 2 to 24 Latin letters once, under the language in which it is most frequent.

    Raises InputError where the package is missing or its files are not the ones named in SHA256.
    """
    folder = checked_folder("wordfreq", "3.1.1", "wordfreq/data", SHA256)
    best: dict[str, tuple[int, int]] = {}  # word -> (hundredths of -log10 of its share, language)
    n_entries = n_unfit = n_again = 0
    is_latin: dict[str, bool] = {}
    for language, name in enumerate(SHA256):
        with gzip.open(folder / name) as file:
            _, *by_share = msgpack.load(file, raw=False)
        for share, words in enumerate(by_share):
            n_entries += len(words)
            for word in words:
                if not _is_fit(word, is_latin):
                    n_unfit += 1
                    continue
                n_again += word in best
                if word not in best or share < best[word][0]:
                    best[word] = (share, language)
    words = sorted(best)
    labels = np.array([best[word][1] for word in words], np.int64)
    letters = letters_of(words)
    return Table(
        title="Words of 13 languages",
        source="wordfreq 3.1.1 (PyPI), Speer 2022: from Wikipedia, subtitles, news, books, web text, Twitter, Reddit",
        licence="Apache-2.0, data CC BY-SA 4.0",
        sha256=SHA256,
        target="the language in which the word is most frequent",
        classes=NAMES,
        features=Features("words", {"letters": letters}),
        columns=[Column(name="word", kind="letters", description="2 to 24 Latin letters", missing=0)],
        labels=labels,
        n_read=n_entries,
        dropped={
            "a word with other signs than Latin letters, or shorter or longer": n_unfit,
            "the same word in a language where it is less frequent": n_again,
        },
    )


def letters_of(words: list[str]) -> NDArray[np.uint16]:
    """Code points, 0 after the end: (n_words, WIDTH)."""
    padded = "".join(word.ljust(WIDTH, "\0") for word in words)
    return np.frombuffer(padded.encode("utf-16-le"), np.uint16).reshape(len(words), WIDTH)


def _is_fit(word: str, is_latin: dict[str, bool]) -> bool:
    if not 2 <= len(word) <= WIDTH:
        return False
    for letter in word:
        if letter not in is_latin:
            is_latin[letter] = letter < "\uffff" and unicodedata.name(letter, "").startswith("LATIN ")
        if not is_latin[letter]:
            return False
    return True
