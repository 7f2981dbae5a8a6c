"""How many pairs of answers are compared a second, by kind, and what a hostile pair costs.

    python benchmarks/answers.py

Pairs are all different, so no cache helps. Part 5 asks for 1e5 pairs a second of equal strings, no process per pair,
and for a hostile pair to end within 0.2 s of its deadline while the event loop stands still for at most 50 ms.
math-verify itself, in the same process and without a limit, is the other column.
"""

import asyncio
import os
import platform
import time

from catlite import answers

KINDS = {
    "equal strings": lambda i: (f"{i} apples and {i % 7}", f"{i} apples and {i % 7}"),
    "whole numbers": lambda i: (str(i), str(i + i % 2)),
    "decimals": lambda i: (f"{i}.50", f"{i}.5"),
    "fractions": lambda i: (rf"\frac{{{i}}}{{8}}", str(i / 8)),
    "polynomials": lambda i: (f"(x+{i})^2", f"x^2+{2 * i}x+{i * i}"),
}
HOSTILE = {
    "a tower of powers": ("9^{9^{9^9}}", "9^{9^{9^8}}"),
    "a factorial": (r"(10^7)! + 1", r"(10^7)! + 2"),
    "a power of two": (r"x + 3^{2^{28}}", r"3^{2^{28}} + x + 0"),
}


def rate(compare, pair, seconds: float = 1.0) -> float:
    compare(*pair(10_000_000))  # imports, the child
    done, started = 0, time.perf_counter()
    while (spent := time.perf_counter() - started) < seconds:
        for _ in range(100 if done else 1):
            compare(*pair(done))
            done += 1
    return done / spent


def math_verify():
    from math_verify import parse, verify

    def compare(a: str, b: str) -> bool:
        left, right = (parse(f"${one}$", parsing_timeout=None) for one in (a, b))
        return verify(left, right, timeout_seconds=None)

    return compare


async def hostile(pair) -> tuple[bool | None, float, float]:
    """The verdict, seconds, and the longest the loop stood still."""
    gap, done = 0.0, False

    async def tick() -> None:
        nonlocal gap
        while not done:
            before = time.perf_counter()
            await asyncio.sleep(0.005)
            gap = max(gap, time.perf_counter() - before - 0.005)

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0.05)
    gap, started = 0.0, time.perf_counter()
    verdict = await answers.acompare(*pair)
    spent, done = time.perf_counter() - started, True
    await ticking
    return verdict, spent, gap


def main() -> None:
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}\n")
    print("| pairs | catlite, pairs/s | math-verify, pairs/s | ratio |\n|---|---|---|---|")
    theirs = math_verify()
    for kind, pair in KINDS.items():
        mine, other = rate(answers.compare, pair), rate(theirs, pair)
        print(f"| {kind} | {mine:,.0f} | {other:,.0f} | {mine / other:.2f} |")
    print(f"\n| hostile pair | verdict | s (limit {answers.LIMIT_SECONDS:g}) | longest gap of the loop, ms |")
    print("|---|---|---|---|")
    for name, pair in HOSTILE.items():
        verdict, spent, gap = asyncio.run(hostile(pair))
        print(f"| {name} | {verdict} | {spent:.2f} | {1e3 * gap:.0f} |")


if __name__ == "__main__":
    main()
