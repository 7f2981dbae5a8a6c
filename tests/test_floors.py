"""The tree is the pipeline: imports point one way, and `import catlite` stays cheap."""

import ast
import inspect
import re
import sys
from pathlib import Path

import children

import catlite

ROOT = Path(catlite.__file__).parent
# A room may use those on the floors above its own, and the others of its own floor.
FLOORS = (
    "usage endings lazy extras text averages cache",
    "errors checks",
    "criteria tracebacks messages parts",
    "concurrency emitting",
    "answers prompts",
    "data parsing",
    "reprs cards",
    "runs",
    "tasks models.base",
    "models.http models.booking models.kept models.ask models.scripted models.preferring models.replay",
    "models.embedded",
    "models.local",
    "models.named",
    "models.panel",
    "models.naming",
    "coerce rollouts members costs rehearsal",
    "references rewards",
    "preflight results",
    "training evaluation grading",
    "experiments analysis",
    "reporting",
    "api streaming estimation judging pricing",
    "scale",
    "serving",
    "cli llm_plugin",
    "__main__",
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms.split()}
# evaluation grades with the rewards of the floor below; references and rewards share nothing but data.
STRANGERS = ({"references", "rewards"}, {"training", "evaluation"})
HEAVY = {"torch", "transformers", "trl", "peft", "unsloth"}
# Where those may be imported at all: a reader of the path to an API never meets them.
MAY_BE_HEAVY = (
    "models.local.",
    "training.trl.",
    "training.lora.",
)
MOST_IMPORTS = 12  # modules of ours that one module imports


def modules():
    return sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def name_of(path):
    """The module's name below catlite, a package's for its __init__.py."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


NAMES = {name_of(path): path for path in modules()}


def room(name):
    """The longest beginning of a module's name that has a floor; None for a package that only holds rooms."""
    parts = name.split(".")
    return next((part for n in range(len(parts), 0, -1) if (part := ".".join(parts[:n])) in FLOOR), None)


def imports(path):
    """(module, name) of every import of the file, whether in a function or for type checking."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module, alias.name) for alias in node.names)


def imported(path):
    """The modules of catlite that the file imports."""
    found = set()
    for module, name in imports(path):
        if module.startswith("catlite."):
            full = f"{module}.{name}".removeprefix("catlite.")
            found.add(full if full in NAMES else module.removeprefix("catlite."))
        elif module == "catlite" and name in NAMES:
            found.add(name)
    return found & NAMES.keys()


USED = {name: imported(path) for name, path in NAMES.items()}


def test_every_module_has_a_room():
    holders = {"models"}  # packages of rooms
    assert [name for name in NAMES if room(name) is None and name not in holders] == []


def test_imports_point_left_only():
    wrong = [
        f"{name} imports {other}"
        for name, others in USED.items()
        if not name.startswith("cli")
        for other in others
        if room(name) and room(other)
        if FLOOR[room(other)] > FLOOR[room(name)]
        or any({room(name).split(".")[0], room(other).split(".")[0]} == pair for pair in STRANGERS)
    ]
    assert wrong == []


def test_no_modules_import_one_another_in_a_circle():
    left = dict(USED)
    while free := [name for name, others in left.items() if not others & left.keys() - {name}]:
        for name in free:
            del left[name]
    assert sorted(left) == []


def test_torch_and_what_stands_on_it_is_imported_in_the_rooms_for_it_alone():
    wrong = [
        f"{name} imports {module}"
        for name, path in NAMES.items()
        if not f"{name}.".startswith(MAY_BE_HEAVY)
        for module, _ in imports(path)
        if module.split(".")[0] in HEAVY
    ]
    assert wrong == []


def test_no_module_imports_half_the_house():
    assert {name: len(others) for name, others in USED.items() if len(others) > MOST_IMPORTS} == {}


def test_folders_export_nothing_but_their_modules():
    lazily = ["from catlite.lazy import submodules", "__getattr__ = submodules(__name__)"]
    for init in ROOT.glob("*/**/__init__.py"):
        if init.parent.name in ("answers", "serving"):  # modules grown into files: the package is the public face
            continue
        _, *body = ast.parse(init.read_text("utf-8")).body
        assert [ast.unparse(node) for node in body] in ([], lazily), init


def test_modules_of_a_room_are_its_attributes():
    code = "import catlite; print(catlite.rewards.judge.judge_group.__name__, hasattr(catlite.rewards, 'nothing'))"
    done = children.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["judge_group", "False"]


def test_no_file_is_over_400_lines():
    long = [str(path) for path in ROOT.rglob("*.py") if len(path.read_text("utf-8").splitlines()) > 400]
    assert long == []


def test_no_public_name_shadows_a_module():
    assert [name for name in catlite.__all__ if name in NAMES and not inspect.ismodule(getattr(catlite, name))] == []


def test_every_public_name_can_be_had():
    for name in catlite.__all__:
        assert getattr(catlite, name) is not None


def test_importing_catlite_imports_nothing_heavy():
    heavy = ["openai", "litellm", "pandas", "numpy", "torch", "tenacity", "math_verify", "httpx", "asyncio"]
    code = f"import sys, catlite; print([name for name in {heavy} if name in sys.modules])"
    done = children.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_tests_start_programs_with_a_time_limit_and_an_ear_for_interrupts():
    """That is what tests/children.py adds to subprocess."""
    tests = {path.name: path.read_text("utf-8") for path in Path(__file__).parent.rglob("*.py")}
    bare = {name for name, text in tests.items() if re.search(r"subprocess\.(run|Popen)\(", text)}
    assert bare <= {"children.py"}
