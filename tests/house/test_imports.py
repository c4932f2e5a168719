"""Nothing is built at import, and nobody but the settings reads the environment."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sluicegate

ROOT = Path(sluicegate.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
READS_THE_ENVIRONMENT = ROOT / "config"
ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}

FILES = {"open", "read_text", "read_bytes", "write_text", "write_bytes", "mkdir", "touch", "mkdtemp", "mkstemp"}
SOCKETS = {"socket", "create_connection", "create_server", "socketpair", "connect", "start", "from_url"}
TASKS = {"Thread", "Timer", "Process", "Popen", "ThreadPoolExecutor", "ProcessPoolExecutor", "Runner", "fork", "run"}
LOOPS = {"new_event_loop", "get_event_loop", "create_task", "ensure_future", "gather"}
OF_THE_PROCESS = {"getLogger", "get_logger", "basicConfig", "register", "signal", "seed", "sleep", "uuid4", "urandom"}
OURS = {"Limiter", "BlockingLimiter", "RedisStore", "MemoryStore", "StandardLogger", "load_settings", "parts"}
BUILDS = FILES | SOCKETS | TASKS | LOOPS | OF_THE_PROCESS | OURS

IMPORT_ALL = """
import collections, importlib, os, pkgutil, sys, threading

told = []

class Noting(collections.UserDict):
    def __getitem__(self, name):
        if str(name).upper().startswith("SLUICEGATE"):
            told.append(f"reads {name}")
        return super().__getitem__(name)

def hear(event, arguments):
    if event.startswith(("socket.", "subprocess.", "os.fork", "os.mkdir", "os.remove", "os.rename", "tempfile.")):
        told.append(event)
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        told.append(f"writes {arguments[0]}")

os.environ = Noting(os.environ.copy())
os.environ["SLUICEGATE_POOL__DEADLINE_MS"] = "9"
sys.dont_write_bytecode = True
sys.addaudithook(hear)
import sluicegate
own = [name for _, name, _ in pkgutil.walk_packages(sluicegate.__path__, "sluicegate.") if "__main__" not in name]
for name in own:
    importlib.import_module(name)
assert len(own) > 100
assert threading.active_count() == 1
print("\\n".join(told), end="")
"""


def environment_in(tree: ast.Module) -> list[str]:
    """Return where a module reads the environment: each place with its line."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in ENVIRONMENT:
            found.append(f"{node.lineno}: {node.attr}")
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            found += [f"{node.lineno}: {alias.name}" for alias in node.names if alias.name in ENVIRONMENT]
    return found


def built_in(node: ast.AST) -> list[str]:
    """Return what is built when a module is imported: calls outside functions, decorators and defaults included."""
    found = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            decorators = [] if isinstance(child, ast.Lambda) else child.decorator_list
            defaults = [*child.args.defaults, *(each for each in child.args.kw_defaults if each is not None)]
            for each in (*decorators, *defaults):
                found += built_in(ast.Expression(each))
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.Call):
            called = ast.unparse(child.func).rpartition(".")[2]
            found += [f"{child.lineno}: {called}"] if called in BUILDS else []
        found += built_in(child)
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_reads_no_environment_and_builds_nothing(path: Path) -> None:
    """But for the settings, which read it when they are loaded."""
    tree = ast.parse(path.read_text("utf-8"))
    if READS_THE_ENVIRONMENT not in path.parents:
        assert environment_in(tree) == []
    assert built_in(tree) == []


@pytest.mark.parametrize(
    "text",
    [
        "import os\nHOME = os.environ.get('HOME')",
        "from os import getenv",
        "import os as system\ndef home(): return system.environ['HOME']",
    ],
)
def test_reading_the_environment_is_seen(text: str) -> None:
    """However it is spelled."""
    assert len(environment_in(ast.parse(text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "TEXT = open('x').read()",
        "TEXT = Path('x').read_text()",
        "SERVER = socket.create_server(('', 0))",
        "class A:\n    lock: Thread = threading.Thread()",
        "def f(log=logging.getLogger('x')): ...",
        "@atexit.register\ndef f(): ...\natexit.register(f)",
        "if True:\n    limiter = Limiter()",
        "TABLE = {name: connect(name) for name in 'ab'}",
        "f = lambda log=get_logger(): log",
    ],
)
def test_building_at_import_is_seen(text: str) -> None:
    """Wherever at module level it stands; inside functions it is no business of an import."""
    assert len(built_in(ast.parse(text))) == 1
    body = "\n".join(f"    {line}" for line in text.splitlines())
    assert built_in(ast.parse(f"def inside():\n{body}")) == []


def test_importing_everything_touches_nothing() -> None:
    """No thread, no socket, no process, no file that is written, and no variable of ours that is read."""
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("import socket; socket.socket()", "socket.__new__"),
        ("os.environ['SLUICEGATE_URL']", "reads SLUICEGATE_URL"),
        ("open(os.devnull, 'w')", f"writes {'/dev/null'}"),
    ],
)
def test_what_an_import_touches_is_seen(more: str, told: str) -> None:
    """So that the check above can fail."""
    program = IMPORT_ALL.replace(
        "import sluicegate\n", f"os.environ['SLUICEGATE_URL'] = 'x'\n{more}\nimport sluicegate\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert told in done.stdout
