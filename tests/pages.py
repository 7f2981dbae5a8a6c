"""Pages of a report: runs to make them of, hostile texts to put on them, and a browser that reads them."""

import json
import re
import shutil

import children
import pytest

from catlite import Example, MajorityVote, ScriptedModel, Task, evaluate

CHROMIUM = shutil.which("chromium")
browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium: apt-get install chromium")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
LOADED = ("--virtual-time-budget=20000", "--dump-dom")
HOSTILE = (
    "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    "<!--<script> \x00 \x1b[31m \u202egnp.exe \u2066 \ud800 {{ 7 * 7 }} &amp; ' \" `"
)
TASK = Task("sums", tuple(Example(f"{a}+1?", str(a + 1), answer_format="boxed", id=f"q{a}") for a in range(4)))


def policy(prompt, i):
    a = int(prompt.split("+")[0])
    return rf"I add. \boxed{{{a + 1 if i % 4 and a != 3 else 0}}}"


def made(task=TASK, reply=policy, estimators=None, n=4, **options):
    estimators = (MajorityVote(),) if estimators is None else estimators
    return evaluate(task, ScriptedModel(reply), estimators=estimators, n=n, **options)


def data(page):
    """The questions of a page, as its script reads them."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def dumped(page, tmp_path, hash_=""):
    """The page's document after its scripts ran, from the file system, in a browser that knows nothing."""
    done = children.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", *LOADED, f"{page.as_uri()}{hash_}"],
        capture_output=True,
        timeout=120,
        check=True,
    )
    return done.stdout.decode()


def shown(dom):
    """The document without what scripts and styles say."""
    return re.sub(r"<(script|style)\b.*?</\1>", "", dom, flags=re.DOTALL)
