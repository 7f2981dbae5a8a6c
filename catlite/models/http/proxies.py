"""Proxies of the environment: one that httpx cannot read is an error with the variable's name, before anything is sent.

Left out: SOCKS proxies, and those of the operating system's own settings.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import urllib.request
from urllib.parse import urlsplit

from catlite.errors import ConfigError
from catlite.models.http.keys import Secret, hide_login


def check_proxies(url: str = "") -> None:
    """Raise ConfigError, with the variable's name, for a proxy or an exempt host that cannot be read.

    Args:
        url: the address of requests, for which the proxy must be one that can be used; "" where that is not known.
    """
    proxies = urllib.request.getproxies_environment()
    exempt = [entry.strip() for entry in proxies.get("no", "").split(",") if entry.strip()]
    if "*" in exempt:
        return
    target = urlsplit(url)
    bypassed = bool(urllib.request.proxy_bypass(target.hostname or ""))
    for kind in ("http", "https", "all"):
        proxy = proxies.get(kind)
        used = not bypassed and (kind == target.scheme or (kind == "all" and not proxies.get(target.scheme)))
        if proxy and not _is_proxy(proxy if "://" in proxy else f"http://{proxy}", used=used):
            name = _variable(f"{kind}_proxy")
            raise ConfigError(
                f"{name}={hide_login(Secret(proxy))!r} in the environment is no proxy that can be used: want one such "
                f"as http://proxy:8080. Change {name}, or unset it for this program"
            )
    for entry in exempt:
        if not _is_pattern(entry):
            name = _variable("no_proxy")
            raise ConfigError(
                f"{name} in the environment has {entry!r}, which the HTTP client cannot read: want names and addresses "
                f"such as example.org,10.0.0.1,::1. Take that entry out of {name} for this program"
            )


def _is_proxy(proxy: str, *, used: bool) -> bool:
    """Whether httpx can read a proxy's address and, if the proxy is used, can speak to it: not to a SOCKS proxy."""
    import httpx

    try:
        scheme = httpx.Proxy(proxy).url.scheme
    except (ValueError, httpx.InvalidURL):
        return False
    return scheme in ("http", "https") or not used


def _is_pattern(entry: str) -> bool:
    """Whether httpx can make a pattern of URLs out of an entry of NO_PROXY."""
    import httpx

    version = 0  # of no address
    with contextlib.suppress(ValueError):
        version = ipaddress.ip_address(entry.split("/")[0]).version
    if "://" in entry:
        pattern = entry
    elif version == 6:
        pattern = f"all://[{entry}]"
    else:
        pattern = f"all://{entry}" if version == 4 or entry.lower() == "localhost" else f"all://*{entry}"
    try:
        httpx.Client(transport=httpx.BaseTransport(), mounts={pattern: None}).close()
    except (ValueError, httpx.InvalidURL):
        return False
    return True


def _variable(name: str) -> str:
    """The variable's name as the environment spells it; in lower case where both spellings are there."""
    spellings = [spelling for spelling in os.environ if spelling.lower() == name and os.environ[spelling]]
    return min(spellings, key=lambda spelling: spelling != name, default=name.upper())
