"""The tree is the pipeline: imports point one way, and `import catlite` stays cheap."""

import ast
import re
import sys
from pathlib import Path

import children

import catlite

ROOT = Path(catlite.__file__).parent
FLOORS = [
    {
        "errors",
        "usage",
        "data",
        "answers",
        "budget",
        "criteria",
        "parsing",
        "cards",
        "text",
        "tracebacks",
        "extras",
        "endings",
        "lazy",
        "loop",
        "store",
        "store_files",
        "progress",
        "prompts",
    },
    {"tasks"},
    {"models"},
    {"rollouts", "coerce"},
    {"references", "rewards"},
    {"preflight", "training", "evaluation", "results", "saved", "costs"},
    {"analysis"},
    {"reporting", "figures", "training_page"},
    {"api", "judging"},
    {"cli"},
    {"__main__"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
# evaluation grades with the rewards of the floor below; references and rewards share nothing but data.
STRANGERS = [{"references", "rewards"}, {"training", "evaluation"}]


def modules():
    return sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def room(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_rooms(path):
    """Rooms of catlite that the module imports anywhere, type checking aside."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "catlite" and len(parts) > 1:
                yield parts[1]


def test_every_module_has_a_room():
    assert {room(path) for path in modules()} <= set(FLOOR)


def test_imports_point_left_only():
    wrong = [
        f"{path.relative_to(ROOT)} imports {other}"
        for path in modules()
        if room(path) != "cli"
        for other in imported_rooms(path)
        if FLOOR[other] > FLOOR[room(path)]
        or any(room(path) in pair and other in pair and other != room(path) for pair in STRANGERS)
    ]
    assert wrong == []


def test_folders_export_nothing_but_their_modules():
    lazily = ["from catlite.lazy import submodules", "__getattr__ = submodules(__name__)"]
    for init in ROOT.glob("*/__init__.py"):
        if init.parent.name == "answers":  # a module grown into files: the package is its public face
            continue
        _, *body = ast.parse(init.read_text("utf-8")).body
        assert [ast.unparse(node) for node in body] in ([], lazily), init


def test_modules_of_a_room_are_its_attributes():
    code = "import catlite; print(catlite.rewards.judge.judge_group.__name__, hasattr(catlite.rewards, 'nothing'))"
    done = children.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["judge_group", "False"]


def test_no_file_is_over_400_lines():
    long = [str(path) for path in [*modules(), ROOT / "__init__.py"] if len(path.read_text().splitlines()) > 400]
    assert long == []


def test_no_public_name_shadows_a_module():
    rooms = {room(path) for path in modules()}
    assert [name for name in catlite._HOME if name in rooms] == []


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
    tests = {path.name: path.read_text("utf-8") for path in Path(__file__).parent.glob("*.py")}
    bare = {name for name, text in tests.items() if re.search(r"subprocess\.(run|Popen)\(", text)}
    assert bare <= {"children.py"}
