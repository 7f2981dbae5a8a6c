"""Time of `import catlite` against `import openai`, each in fresh interpreters, in turn.

    python benchmarks/import_time.py [--runs 11]

Prints medians and their ratio. Part 1 asks for at most 0.25.
"""

import argparse
import statistics
import subprocess
import sys

CODE = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"


def seconds(module: str) -> float:
    """Seconds one fresh interpreter takes for the import, its own start left out."""
    done = subprocess.run([sys.executable, "-c", CODE.format(module)], capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=11)
    runs = parser.parse_args().runs
    found: dict[str, list[float]] = {"catlite": [], "openai": []}
    for module in found:
        seconds(module)  # the first import reads from disk, later ones from memory
    for _ in range(runs):
        for module, times in found.items():
            times.append(seconds(module))
    medians = {module: statistics.median(times) for module, times in found.items()}
    ratios = [ours / theirs for ours, theirs in zip(found["catlite"], found["openai"], strict=True)]
    print("| import | median ms | min | max |\n|---|---|---|---|")
    for module, times in found.items():
        print(f"| {module} | {medians[module] * 1e3:.1f} | {min(times) * 1e3:.1f} | {max(times) * 1e3:.1f} |")
    print(f"\nratio, median of {runs} pairs: {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")


if __name__ == "__main__":
    main()
