"""How to install an extra of this very catlite: from its checkout, or from wherever else it came.

The name `catlite[train]` alone would not do, since catlite is on no package index. Left out: anything but pip.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import shlex
from pathlib import Path
from urllib.parse import unquote, urlparse


def install(extra: str) -> str:
    """The command that installs `extra`.

    Args:
        extra: a name under [project.optional-dependencies], such as "train".

    Returns:
        A pip command for the checkout this catlite runs from, else for where it was installed from, else for the
        packages themselves.

    Example:
        >>> install("train")
        "pip install -e '/home/me/catlite[train]'"
    """
    root = Path(__file__).resolve().parent.parent
    if (root / "pyproject.toml").is_file():
        return f"pip install -e {shlex.quote(f'{root}[{extra}]')}"
    try:
        distribution = importlib.metadata.distribution("catlite")
    except importlib.metadata.PackageNotFoundError:
        return f"pip install {shlex.quote(f'.[{extra}]')}, in a checkout of catlite"
    where = json.loads(distribution.read_text("direct_url.json") or "{}")
    url = str(where.get("url", ""))
    folder = Path(unquote(urlparse(url).path)) if url.startswith("file:") else None
    if folder is not None and folder.is_dir():
        return f"pip install {shlex.quote(f'{folder}[{extra}]')}"
    if "vcs_info" in where:
        source = f"{where['vcs_info']['vcs']}+{url}@{where['vcs_info']['commit_id']}"
        return f"pip install {shlex.quote(f'catlite[{extra}] @ {source}')}"
    wanted = [line for line in distribution.requires or [] if _is_of(line, extra)]
    return "pip install " + " ".join(shlex.quote(line.split(";")[0].strip()) for line in wanted)


def _is_of(requirement: str, extra: str) -> bool:
    return re.search(rf"extra\s*==\s*['\"]{re.escape(extra)}['\"]", requirement) is not None
