"""The command that installs an extra of this very catlite, from its checkout or its other source.

The name `catlite[train]` alone would not work, since catlite is not on a package index. Left out: installers but pip.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import shlex
from pathlib import Path
from urllib.parse import unquote, urlparse


def install(extra: str) -> str:
    """Write the pip command that installs an extra, such as "train".

    For the checkout this catlite runs from, else for its other source, else for the packages themselves.
    """
    root = Path(__file__).resolve().parent.parent
    if (root / "pyproject.toml").is_file():
        return f"pip install -e {shlex.quote(f'{root}[{extra}]')}"
    try:
        distribution = importlib.metadata.distribution("catlite")
    except importlib.metadata.PackageNotFoundError:
        return f"pip install {shlex.quote(f'.[{extra}]')}, in a checkout of catlite"
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    url = str(origin.get("url", ""))
    folder = Path(unquote(urlparse(url).path)) if url.startswith("file:") else None
    if folder is not None and folder.is_dir():
        return f"pip install {shlex.quote(f'{folder}[{extra}]')}"
    if vcs := origin.get("vcs_info"):
        source = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
        return f"pip install {shlex.quote(f'catlite[{extra}] @ {source}')}"
    packages = [line.split(";")[0].strip() for line in distribution.requires or [] if _is_of(line, extra)]
    return "pip install " + " ".join(map(shlex.quote, packages))


def _is_of(requirement: str, extra: str) -> bool:
    return re.search(rf"extra\s*==\s*['\"]{re.escape(extra)}['\"]", requirement) is not None
