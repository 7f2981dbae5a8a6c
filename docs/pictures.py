"""Take the manual's pictures: the card, the matrix and the report, as a browser shows them.

    python docs/pictures.py [card] [matrix] [report]

The card and the report are made by the embedded model, offline. The judge of the matrix is scripted, since the embedded
model cannot judge. Needs Debian's `chromium`, and the extras `local` and `notebooks` (for Pillow).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageChops

import catlite
from catlite.tasks.times_tables import WORKED_SYNTHESES

FOLDER = Path(__file__).parent / "pictures"
PAGE = """<!doctype html><meta charset="utf-8"><body style="margin:16px;font-family:sans-serif">{}"""


def shoot(html: str | Path, name: str, width: int, height: int) -> None:
    """Save a picture of `html` (a page, or what a notebook shows) as `name`.png, cut to what is on it."""
    with tempfile.TemporaryDirectory() as scratch:
        page = html if isinstance(html, Path) else Path(scratch, "page.html")
        if isinstance(html, str):
            page.write_text(PAGE.format(html), "utf-8")
        taken = Path(scratch, "taken.png")
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={scratch}/user"]
        size = [f"--window-size={width},{height}", "--virtual-time-budget=5000"]
        subprocess.run(
            [shutil.which("chromium") or "chromium", *flags, *size, f"--screenshot={taken}", page.resolve().as_uri()],
            check=True,
            capture_output=True,
        )
        image = Image.open(taken).convert("RGB")
        white = Image.new("RGB", image.size, image.getpixel((0, 0)))
        bottom = (ImageChops.difference(image, white).getbbox() or image.getbbox())[3]
        target = FOLDER / f"{name}.png"
        image.crop((0, 0, image.width, min(bottom + 16, image.height))).quantize(64).save(target, optimize=True)
        print(target.relative_to(FOLDER.parents[1]), f"{target.stat().st_size / 1000:.0f} kB")


def card() -> str:
    """Ask the embedded model one question."""
    return (
        catlite.synthesize(
            "What is the capital of France? Answer in one short sentence.",
            model="local",
            n=8,
            answer_format=r"France is (\w+)",
            temperature=1.0,
            max_tokens=64,
            seed=3,
        )
        ._repr_html_()
        .replace("<details>", "<details open>")
    )


def matrix() -> str:
    """Judge two answers by three criteria; the judge's verdicts are scripted."""
    answers = [
        "Take the zinc two hours after the iron: they compete for uptake.",
        "Zinc and iron can be taken together. Stop the iron if you feel sick.",
    ]
    criteria = {
        "The response names a gap of about two hours.": ("two hours", 5),
        "The response says that zinc and iron compete.": ("compete", 3),
        "The response tells the reader to stop the iron.": ("Stop", -4),
    }

    def verdict(prompt: list[dict[str, str]], _: int) -> str:
        response, criterion = prompt[-1]["content"].split("Criterion:")
        word = next(word for text, (word, _) in criteria.items() if text in criterion)
        return "Yes. The response says so." if word in response else "No. The response does not say so."

    rubric = catlite.Rubric([catlite.Criterion(text, points) for text, (_, points) in criteria.items()])
    judge = catlite.ScriptedModel(verdict)
    return catlite.judge(answers, rubric, judge, question="May I take zinc with iron?")._repr_html_()


def report(folder: str) -> Path:
    """Compare a single sample, the vote and synthesis on eight questions, and write the report."""
    with catlite.embedded(max_connections=1) as model:
        synthesis = catlite.Synthesis(model, max_tokens=32, worked=WORKED_SYNTHESES)
        catlite.evaluate(
            catlite.times_tables(8, seed=3),
            model,
            estimators=(catlite.MajorityVote(), synthesis),
            n=8,
            run=folder,
            temperature=1.0,
            max_tokens=14,
            seed=3,
        )
    return Path(catlite.report(folder))


if __name__ == "__main__":
    names = sys.argv[1:] or ["card", "matrix", "report"]
    FOLDER.mkdir(exist_ok=True)
    if "card" in names:
        shoot(card(), "card", 760, 900)
    if "matrix" in names:
        shoot(matrix(), "matrix", 760, 700)
    if "report" in names:
        with tempfile.TemporaryDirectory() as run:
            shoot(report(run), "report", 900, 730)
