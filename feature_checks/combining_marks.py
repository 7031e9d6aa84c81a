"""Runs of combining marks, divided so that Unicode normalisation takes linear time (UAX #15, Stream-Safe Text Format).

CPython's NFC orders the marks of a run by insertion, which takes quadratic time: 20,000 marks take half a second.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Final

MAX_NON_STARTERS: Final = 30
"""The longest run of non-starters that UAX #15 leaves undivided; no language needs a longer one."""

_GRAPHEME_JOINER: Final = "\u034f"
"""The starter that UAX #15 inserts to end a run."""

BMP_NON_STARTERS: Final = (
    r"\u0300-\u034e\u0350-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a"
    r"\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u0711\u0730-\u074a\u07eb-\u07f3\u07fd"
    r"\u0816-\u0819\u081b-\u0823\u0825-\u0827\u0829-\u082d\u0859-\u085b\u0898-\u089f\u08ca-\u08e1\u08e3-\u08ff"
    r"\u093c\u094d\u0951-\u0954\u09bc\u09cd\u09fe\u0a3c\u0a4d\u0abc\u0acd\u0b3c\u0b4d\u0bcd\u0c3c\u0c4d"
    r"\u0c55\u0c56\u0cbc\u0ccd\u0d3b\u0d3c\u0d4d\u0dca\u0e38-\u0e3a\u0e48-\u0e4b\u0eb8-\u0eba\u0ec8-\u0ecb"
    r"\u0f18\u0f19\u0f35\u0f37\u0f39\u0f71-\u0f75\u0f7a-\u0f7d\u0f80-\u0f84\u0f86\u0f87\u0fc6\u1037\u1039\u103a"
    r"\u108d\u135d-\u135f\u1714\u1715\u1734\u17d2\u17dd\u18a9\u1939-\u193b\u1a17\u1a18\u1a60\u1a75-\u1a7c\u1a7f"
    r"\u1ab0-\u1abd\u1abf-\u1ace\u1b34\u1b44\u1b6b-\u1b73\u1baa\u1bab\u1be6\u1bf2\u1bf3\u1c37\u1cd0-\u1cd2"
    r"\u1cd4-\u1ce0\u1ce2-\u1ce8\u1ced\u1cf4\u1cf8\u1cf9\u1dc0-\u1dff\u20d0-\u20dc\u20e1\u20e5-\u20f0\u2cef-\u2cf1"
    r"\u2d7f\u2de0-\u2dff\u302a-\u302f\u3099\u309a\ua66f\ua674-\ua67d\ua69e\ua69f\ua6f0\ua6f1\ua806\ua82c\ua8c4"
    r"\ua8e0-\ua8f1\ua92b-\ua92d\ua953\ua9b3\ua9c0\uaab0\uaab2-\uaab4\uaab7\uaab8\uaabe\uaabf\uaac1\uaaf6\uabed"
    r"\ufb1e\ufe20-\ufe2f"
)
"""The characters up to U+FFFF whose canonical decomposition begins with a non-starter, for a class of a pattern."""

OTHER_NON_STARTERS: Final = (
    r"\U000101fd\U000102e0\U00010376-\U0001037a\U00010a0d\U00010a0f\U00010a38-\U00010a3a\U00010a3f"
    r"\U00010ae5\U00010ae6\U00010d24-\U00010d27\U00010eab\U00010eac\U00010f46-\U00010f50\U00010f82-\U00010f85"
    r"\U00011046\U00011070\U0001107f\U000110b9\U000110ba\U00011100-\U00011102\U00011133\U00011134\U00011173"
    r"\U000111c0\U000111ca\U00011235\U00011236\U000112e9\U000112ea\U0001133b\U0001133c\U0001134d"
    r"\U00011366-\U0001136c\U00011370-\U00011374\U00011442\U00011446\U0001145e\U000114c2\U000114c3"
    r"\U000115bf\U000115c0\U0001163f\U000116b6\U000116b7\U0001172b\U00011839\U0001183a\U0001193d\U0001193e"
    r"\U00011943\U000119e0\U00011a34\U00011a47\U00011a99\U00011c3f\U00011d42\U00011d44\U00011d45\U00011d97"
    r"\U00016af0-\U00016af4\U00016b30-\U00016b36\U00016ff0\U00016ff1\U0001bc9e\U0001d165-\U0001d169"
    r"\U0001d16d-\U0001d172\U0001d17b-\U0001d182\U0001d185-\U0001d18b\U0001d1aa-\U0001d1ad\U0001d242-\U0001d244"
    r"\U0001e000-\U0001e006\U0001e008-\U0001e018\U0001e01b-\U0001e021\U0001e023\U0001e024\U0001e026-\U0001e02a"
    r"\U0001e130-\U0001e136\U0001e2ae\U0001e2ec-\U0001e2ef\U0001e8d0-\U0001e8d6\U0001e944-\U0001e94a"
)
"""The same from U+10000 on."""

_MAYBE_LONG: Final = re.compile(r"[\u0300-\U0001ffff][\u0300-\U0001ffff]{13}")
"""A run that decomposes to more than 30 non-starters has at least 14 characters from U+0300 on: each decomposes to at
most two, and the starter before them adds at most three."""


def divide_runs(text: str) -> str:
    """Return the text with U+034F after every 30 non-starters of a longer run, and other texts unchanged.

    Example: `len(divide_runs("a" + "\u0301" * 60))` is 62.
    """
    if not _MAYBE_LONG.search(text):
        return text
    long_run, full_run = _patterns()
    if not long_run.search(text):
        return text
    decomposed = "".join(unicodedata.normalize("NFD", character) for character in text)
    return full_run.sub(rf"\g<0>{_GRAPHEME_JOINER}", decomposed)


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return the pattern of a run that may be too long, and of 30 non-starters before a further one.

    The first is coarse from U+10000 on, because every additional range makes the search slower.
    """
    candidate = rf"[{BMP_NON_STARTERS}\U00010000-\U0001ffff]"
    non_starter = f"[{BMP_NON_STARTERS}{OTHER_NON_STARTERS}]"
    return (
        re.compile(f"{candidate}{candidate}{{13}}"),
        re.compile(f"{non_starter}{{{MAX_NON_STARTERS}}}(?={non_starter})"),
    )
