"""Removes credentials from what is logged."""

from __future__ import annotations

import re
from typing import Final

_USER_INFORMATION: Final = re.compile(r"(?<=://)[^\s/?#]*@")
_SECRET_PARAMETER: Final = re.compile(
    r"(?i)([?&;](?:[^=&;\s]*(?:password|passwd|secret|token|key|signature|credential|sig)[^=&;\s]*)=)[^&;\s'\"]+"
)


def without_credentials(text: str) -> str:
    """Return the text without the user names, passwords and secret parameters of the URLs in it.

    Example: `without_credentials("http://me:word@host/x?token=1")` is `"http://***@host/x?token=***"`.
    """
    return _SECRET_PARAMETER.sub(r"\1***", _USER_INFORMATION.sub("***@", text))
