"""API keys: held so that no repr, log, error, pickle or traceback can show one."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from catlite.errors import ConfigError

BaseURL: TypeAlias = "str | Secret | Sequence[str | Secret] | None"  # a list is a fleet's
OPENAI_URL = "https://api.openai.com/v1"
_HIDDEN = "[key hidden]"
_NAMES_KEY = re.compile(
    r"(?<!cache_)key(?!word)|token(?!s|_id|iz)|secret|passw|pwd|auth(?!ors?$)|credential|cookie", re.IGNORECASE
)
_LOOKS_LIKE_KEY = re.compile(r"(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{16,}")


class Secret:
    """A string that shows itself through `reveal` alone.

    Not pydantic's SecretStr: that can be pickled, shows its value in `vars`, and takes 50 ms to import.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The string itself, for the one call that needs it."""
        return self._value

    def redact(self, text: str) -> str:
        """`text` without the secret: servers do echo keys in their error messages.

        A placeholder ("none", "EMPTY", "lm-studio") stays: it is not secret, and may well be a word of an answer.
        """
        real = len(self._value) >= 8 and any(character.isdigit() for character in self._value)
        return text.replace(self._value, _HIDDEN) if real else text

    def __repr__(self) -> str:
        return _HIDDEN

    def __reduce__(self) -> NoReturn:
        raise ConfigError("an API key is not pickled: pass the key to the other process in its environment")


@dataclass(frozen=True, slots=True)
class Address:
    """A server's URL, and the key for it. `login` is "user:password", which was cut out of the URL."""

    url: str
    key: Secret
    login: Secret | None = None

    def redact(self, text: str) -> str:
        """`text` without key and login."""
        return self.key.redact(text if self.login is None else self.login.redact(text))


def sealed(value: str | Secret | None) -> Secret | None:
    """Make a Secret of `value`, without the spaces and line ends that get copied with it; None when it is empty."""
    if isinstance(value, Secret):
        return value
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"a key and a base_url are strings, this one is {type(value).__name__}")
    return Secret(value.strip()) if value and value.strip() else None


def sealed_url(value: BaseURL) -> Secret | tuple[Secret, ...] | None:
    """Make a Secret of an address, as `sealed` does, and a tuple of them of the list of a fleet's."""
    if not isinstance(value, list | tuple):
        return sealed(value)  # type: ignore[arg-type]  # other sequences are refused there
    urls = tuple(sealed(url) for url in value)
    if not urls or None in urls:
        raise ConfigError(
            "base_url=[…] has no address, or an empty one: want that of each replica, such as http://a:8000/v1; for "
            "OpenAI's own or through litellm leave it out"
        )
    return tuple(url for url in urls if url is not None)


def check_key(key: Secret | None) -> None:
    """Raise ConfigError when `key` cannot stand in an HTTP header; libraries would quote it in their error."""
    if key is not None and not (key.reveal().isascii() and key.reveal().isprintable()):
        raise ConfigError("the API key has characters that no key has (not printable ASCII): copy it again")


def address(base_url: Secret | None, api_key: Secret | None) -> Address:
    """Make the Address of a server: of the arguments, else of OPENAI_BASE_URL and OPENAI_API_KEY.

    Raises ConfigError when the address is OpenAI's own and there is no key, when base_url is not a URL, or when the
    key has characters that a key cannot have.
    """
    # No local variable here holds a key or a password in the open: tracebacks can show locals.
    base_url = base_url or sealed(os.environ.get("OPENAI_BASE_URL")) or Secret(OPENAI_URL)
    if "?" in base_url.reveal():
        raise ConfigError(f"base_url={hide_login(base_url)!r} has a query: give it without what follows the ?")
    url, login = _split_login(base_url)
    if _parts(url) is None:
        raise ConfigError(f"base_url={url!r}: want a URL such as http://localhost:8000/v1")
    key = api_key or sealed(os.environ.get("OPENAI_API_KEY"))
    if key is None and url == OPENAI_URL:
        raise ConfigError(
            "no API key and no base_url: set OPENAI_API_KEY for OpenAI, pass base_url= (or set OPENAI_BASE_URL) "
            'for another server, or use model="local", which needs neither'
        )
    check_key(key)
    # Local servers want no key, but the client insists on one.
    return Address(url, key or Secret("none"), login)


def may_hold_key(settings: Any, name: str = "") -> str | None:
    """Name the first of `settings`, however deep, that may hold a key: a header, or a text called or written like one.

    Pickles are written to files and logs of other programs, so this would rather refuse a long name with digits.
    """
    if isinstance(settings, str):
        hidden = settings and (_NAMES_KEY.search(name.rpartition(".")[2]) or _LOOKS_LIKE_KEY.search(settings))
        return name if hidden else None
    if isinstance(settings, bytes) or (settings and name == "extra_headers"):
        return name
    inner: Iterable[tuple[str, Any]] = ()
    if isinstance(settings, Mapping):
        inner = [(f"{name}.{key}".lstrip("."), value) for key, value in settings.items()]
    elif isinstance(settings, Iterable):
        inner = [(name, value) for value in settings]
    return next((hit for where, value in inner if (hit := may_hold_key(value, where)) is not None), None)


def on_this_machine(url: str) -> bool:
    """True for a URL of this machine's loopback, which no proxy can reach: 127/8, ::1, 0.0.0.0, localhost."""
    parts = _parts(url)
    host = (parts.hostname or "").rstrip(".").lower() if parts is not None else ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    if re.fullmatch(r"[\d.]+", host):
        with contextlib.suppress(OSError):  # as the system reads it: 127.1 is 127.0.0.1
            host = socket.inet_ntoa(socket.inet_aton(host))
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        return False
    number = getattr(number, "ipv4_mapped", None) or number
    return number.is_loopback or number.is_unspecified


def hide_login(url: Secret) -> str:
    """The URL without user, password and query, for showing."""
    return _split_login(url)[0].partition("?")[0]


def shown_url(url: Secret | tuple[Secret, ...]) -> str | list[str]:
    """An address for showing, or the list of them."""
    return hide_login(url) if isinstance(url, Secret) else [hide_login(each) for each in url]


def _parts(url: str) -> SplitResult | None:
    """Split `url`; None when it is not the address of a web server."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # brackets that do not close, a port that is no number
        return None
    return parts if usable else None


def _split_login(url: Secret) -> tuple[str, Secret | None]:
    """(the URL without user and password, these two as "user:password")."""
    parts = _parts(url.reveal())
    if parts is None:
        return url.reveal().rpartition("@")[2], None
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])).rstrip("/")
    return bare, Secret(f"{unquote(parts.username)}:{unquote(parts.password or '')}") if parts.username else None
