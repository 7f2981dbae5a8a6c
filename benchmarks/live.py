"""What the live line and the live card cost: wall time of `synthesize` with them against without, on a local server.

    python benchmarks/live.py [--rounds 20]

The server takes the same time for a reference whether it is streamed or not: 150 pieces, one each 8 ms. The eight
rollouts are eight requests of 0.2 to 0.5 s. The arms take turns in one process, in random order; what is compared is
the pair of each round. The card goes through IPython's display to a publisher that keeps it, as a kernel would send it.
"""

import argparse
import contextlib
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

from loopback import KEY, serve

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
PIECES, PIECE_S = 150, 0.008


def start_server() -> None:
    from server import Server

    def anchored(body: dict) -> bool:
        return "<attempt-" in body["messages"][-1]["content"]

    def reply(body: dict, i: int) -> str:
        return "All " * PIECES if anchored(body) else rf"So \boxed{{{len(body['messages']) + i % 3}}}."

    def latency(body: dict, _: int) -> float:
        if anchored(body):
            return 0.0 if body.get("stream") else (PIECES + 3) * PIECE_S
        return 0.2

    serve(Server(reply, latency=latency, piece_s=PIECE_S, models=None, most_choices=1, keep=False))


def measure(url: str, rounds: int) -> dict[str, list[float]]:
    from IPython.core.displaypub import CapturingDisplayPublisher
    from IPython.core.interactiveshell import InteractiveShell

    import catlite
    from catlite.runs import progress

    shell = InteractiveShell.instance()
    shell.display_pub = CapturingDisplayPublisher()
    screen = Path(os.devnull).open("w")  # noqa: SIM115 - to the end of the process
    times: dict[str, list[float]] = {"off": [], "line": [], "card": []}
    with catlite.Endpoint("m", base_url=url, api_key=KEY) as model:
        for number in range(rounds + 1):
            for arm in random.sample(sorted(times), len(times)):
                progress.in_notebook = lambda arm=arm: arm == "card"
                began = time.perf_counter()
                with contextlib.redirect_stderr(screen):
                    reference = catlite.synthesize(
                        f"question {number}", model, n=8, answer_format="boxed", progress=arm != "off"
                    )
                if number:  # the first round imports
                    times[arm].append(time.perf_counter() - began)
                assert reference.text.startswith("All All")
    shown = len(shell.display_pub.outputs)
    assert shown > 2 * rounds, shown
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        start_server()
        return
    with subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            times = measure(server.stdout.readline().strip(), args.rounds)
        finally:
            server.terminate()
    result = {"machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores", "rounds": args.rounds}
    for arm in ("line", "card"):
        ratios = [shown / off for shown, off in zip(times[arm], times["off"], strict=True)]
        error = statistics.stdev(ratios) / len(ratios) ** 0.5
        result[f"{arm} / off"] = f"{statistics.mean(ratios):.4f} ± {error:.4f}"
    result["seconds off"] = round(statistics.median(times["off"]), 3)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
