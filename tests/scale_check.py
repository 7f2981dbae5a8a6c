"""Does catlite.scale run with the libraries that it stands on? In environments of their own, which are large.

    python tests/scale_check.py [ray] [verl]

* ray: the extra `ray`, 700 MB: two nodes on this machine, an endpoint on loopback, killed actors, nodes and drivers.
* verl: the extra `verl`, 2 GB, without the project's pins: its classes up to the advantages, with a stand-in for the
  policy's server. Python before 3.13.

Each environment is made in .venv/scale-NAME and kept.
"""

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import children

ROOT = Path(__file__).parents[1]
INSTALL_SECONDS, CHECK_SECONDS = 3600.0, 3600.0
PYTEST = ("hypothesis", "psutil", "pytest", "pytest-timeout", "pytest-xdist")


@dataclass(frozen=True)
class Environment:
    """What pip installs beside catlite and pytest, and the tests that run there."""

    extra: str
    tests: tuple[str, ...]
    packages: tuple[str, ...] = ()
    pinned: bool = True  # by constraints.txt


ENVIRONMENTS = {
    "ray": Environment("ray", ("tests/scale/test_ray_data.py",)),
    "verl": Environment("verl", ("tests/scale/test_verl.py",), ("torch==2.13.0",), pinned=False),
}


def make(name: str) -> Path:
    """The interpreter of an environment, which is made or brought up to date."""
    folder, wanted = ROOT / ".venv" / f"scale-{name}", ENVIRONMENTS[name]
    python = folder / "bin" / "python"
    if not python.exists():
        children.run([sys.executable, "-m", "venv", folder], check=True)
    packages = [*PYTEST, *wanted.packages, "--editable", f"{ROOT}[{wanted.extra}]"]
    pins = () if wanted.pinned else ("PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT")
    environment = {key: value for key, value in os.environ.items() if key not in pins}
    command = [python, "-m", "pip", "install", "--quiet", *packages]
    children.run(command, timeout=INSTALL_SECONDS, check=True, env=environment)
    return python


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(ENVIRONMENTS), metavar="NAME", help=", ".join(ENVIRONMENTS))
    children.answer_interrupts()
    codes = []
    for name in parser.parse_args().names:
        command = [make(name), "-m", "pytest", "-p", "no:asyncio", *ENVIRONMENTS[name].tests]  # verl brings that plugin
        codes.append(children.run(command, cwd=ROOT, timeout=CHECK_SECONDS, check=False).returncode)
    sys.exit(any(codes))


if __name__ == "__main__":
    main()
