"""Links that nobody can guess, derived from the study's secret: the database holds none of them."""

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from semcomm.errors import StudyError

FILE = "secret"


def new_secret(folder: Path) -> None:
    """Write a secret that only the owner of the folder may read."""
    handle = os.open(folder / FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_hex(32))


class Links:
    """The tokens in the links of a study.

    Args:
        folder: of the study.

    Raises:
        StudyError: when its secret is gone.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._secret = bytes.fromhex((folder / FILE).read_text().strip())
        except (OSError, ValueError):
            self._secret = b""
        if len(self._secret) != 32:
            raise StudyError(f"{folder / FILE}: is not the secret that a study begins with; put it back from a copy")

    def rater(self, code: str) -> str:
        """Return the token of a rater: the code, and 192 bits that only the secret can make."""
        return f"{code}-{self._made('rater', code)}"

    @property
    def administrator(self) -> str:
        """The token of the administrator's page."""
        return self._made("administrator", "")

    def code_in(self, token: str) -> str | None:
        """Return the code in a rater's token, or None where it is not one of this study's."""
        code = token.partition("-")[0]
        return code if _same(token, self.rater(code)) else None

    def is_administrator(self, token: str) -> bool:
        """Say whether a token is the administrator's."""
        return _same(token, self.administrator)

    def _made(self, purpose: str, name: str) -> str:
        digest = hmac.digest(self._secret, f"{purpose}:{name}".encode("utf-8", "surrogatepass"), hashlib.sha256)
        return base64.urlsafe_b64encode(digest[:24]).decode()


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(*(text.encode("utf-8", "surrogatepass") for text in (one, other)))
