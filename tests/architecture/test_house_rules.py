"""Rules that keep the house simple: what stands in only one place, what is not done at all, how long things may be."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.architecture.tree import PACKAGES, ROOT, Module, calls, files, imports, modules

FUNCTION_LINES_MAX = 80
CLASS_LINES_MAX = 400

# Tasks are born where somebody waits for them: the composition roots, the supervisor, the owner of a connection.
TASKS = (
    r"edge_agent/(agent|supervise|__main__)\.py|cloud/(app|__main__)\.py|cloud/ingest/subscriber\.py|shared/mqtt\.py"
)
# A TaskGroup waits for its tasks by construction, so its create_task may stand anywhere.
GROUP = r"(self\.)?_?(group|tasks|task_group)\.create_task"

# Threads: the serial worker, and password hashing, which would hold the loop for 90 ms. aiosqlite has its own.
THREADS = r"edge_agent/links/bus\.py|cloud/accounts/passwords\.py"
STARTS_A_THREAD = r"(threading\.)?Thread|asyncio\.to_thread|.*\.run_in_executor|.*ThreadPoolExecutor|_thread\..*"

# Wall and monotonic time come from shared/clock.py. The simulator is another computer: its one loop keeps its own time.
CLOCKS = r"shared/clock\.py|firmware_sim/.*"
READS_A_CLOCK = (
    r"time\.(time|time_ns|monotonic|monotonic_ns|perf_counter|clock_gettime|clock_gettime_ns|sleep|localtime|gmtime)"
    r"|(datetime\.)?(datetime|date)\.(now|utcnow|today)"
)
SLEEPS = r"asyncio\.sleep"

MONEY = re.compile(r"float\(|Mapped\[float\]|\bFloat\b|\bNumeric\b|\bREAL\b")
NAMES_OF_NOTHING = {
    "utils",
    "util",
    "helpers",
    "helper",
    "manager",
    "managers",
    "service",
    "services",
    "common",
    "misc",
}


def offences(pattern: str, allowed: str, *folders: str) -> list[str]:
    """Calls that match `pattern`, outside the files that match `allowed`."""
    return [
        f"{module.path}:{line} calls {name}"
        for module in modules(*folders)
        if not re.fullmatch(allowed, module.path)
        for line, name in calls(module)
        if re.fullmatch(pattern, name)
    ]


def test_tasks_are_born_where_somebody_waits_for_them() -> None:
    loose = offences(r".*\.?(create_task|ensure_future)", TASKS + r"|firmware_sim/.*")
    assert [line for line in loose if not re.search(rf"calls {GROUP}$", line)] == []


def test_threads_exist_in_two_places() -> None:
    assert offences(STARTS_A_THREAD, THREADS) == []


def test_time_comes_from_the_clock() -> None:
    assert offences(READS_A_CLOCK, CLOCKS) == []


def test_durations_are_slept_by_the_clock() -> None:
    sleeps = [
        f"{module.path}:{node.lineno} {ast.unparse(node)}"
        for module in modules("edge_agent", "cloud", "shared")
        if module.path != "shared/clock.py"
        for node in ast.walk(module.tree)
        # sleep(0) gives way to others; it is no duration.
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "asyncio.sleep"
        and ast.unparse(node) != "asyncio.sleep(0)"
    ]
    assert sleeps == []


def test_topics_are_written_in_one_place() -> None:
    written = [
        f"{module.path}:{node.lineno} {node.value!r}"
        for module in modules()
        if module.path != "shared/topics.py"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.match(r"(\$share/[^/]+/)?(up|dn)/", node.value)
    ]
    assert written == []


def test_money_is_never_a_float() -> None:
    nouns = "accounts|machines|catalog|stock|members|tickets|orders|water|rentals|commission|supply|community"
    money = rf"cloud/({nouns})/.*\.py|edge_agent/ledger/.*\.py|shared/(messages|quantities)\.py"
    found = [
        f"{module.path}: {match.group()}"
        for module in modules()
        if re.fullmatch(money, module.path)
        for match in MONEY.finditer(module.text)
    ]
    assert found == []


def test_no_sql_is_built_from_values() -> None:
    """An f-string, %, + or format() as the statement of execute(): values belong into parameters."""
    built = [
        f"{module.path}:{node.lineno} {ast.unparse(node)[:80]}"
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and re.search(r"(^|\.)(execute|executemany|executescript|text)$", ast.unparse(node.func))
        and node.args
        and is_built(node.args[0])
    ]
    assert built == []


def is_built(statement: ast.expr) -> bool:
    """True for text assembled from lower-case names; upper-case names are constants of the file."""
    names: Iterator[ast.AST]
    if isinstance(statement, ast.JoinedStr | ast.BinOp):
        names = (node for node in ast.walk(statement) if isinstance(node, ast.Name | ast.Call))
        return any(not (isinstance(node, ast.Name) and node.id.lstrip("_").isupper()) for node in names)
    return isinstance(statement, ast.Call) and ast.unparse(statement.func).endswith(".format")


def test_no_blanket_except_outside_supervisors() -> None:
    supervisors = r"edge_agent/supervise\.py|cloud/facades/mount\.py|cloud/ingest/subscriber\.py|cloud/database\.py"
    found = [
        f"{module.path}:{node.lineno}"
        for module in modules()
        if not re.fullmatch(supervisors, module.path)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ExceptHandler) and catches_everything(node) and not ends_with_raise(node)
    ]
    assert found == []


def catches_everything(handler: ast.ExceptHandler) -> bool:
    """True for `except:`, `except Exception` and `except BaseException`, alone or in a tuple."""
    if handler.type is None:
        return True
    return bool(
        {"Exception", "BaseException"} & {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)}
    )


def ends_with_raise(handler: ast.ExceptHandler) -> bool:
    """True when the handler tidies up and lets the error go on."""
    return isinstance(handler.body[-1], ast.Raise)


def test_functions_and_classes_are_one_thing() -> None:
    long = [
        f"{module.path}:{node.lineno} {node.name}: {lines} lines"
        for module in modules(*PACKAGES, "tests", "bench", "scripts")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1)
        > (CLASS_LINES_MAX if isinstance(node, ast.ClassDef) else FUNCTION_LINES_MAX)
    ]
    assert long == []


def test_every_file_is_named_after_its_subject() -> None:
    assert [path for path in files() if path.rsplit("/", 1)[-1].partition(".")[0] in NAMES_OF_NOTHING] == []


def test_every_module_says_what_it_is() -> None:
    assert [module.path for module in modules() if not ast.get_docstring(module.tree)] == []


def test_every_folder_of_code_is_a_package() -> None:
    folders = {module.path.rsplit("/", 1)[0] for module in modules()}
    # Alembic loads its revisions by path.
    assert [
        folder
        for folder in sorted(folders)
        if not (ROOT / folder / "__init__.py").is_file() and "versions" not in folder
    ] == []


def test_no_environment_is_read_at_import() -> None:
    assert [
        f"{module.path}:{node.lineno}"
        for module in modules()
        for statement in module.tree.body
        if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        for node in ast.walk(statement)
        if isinstance(node, ast.Attribute) and ast.unparse(node) in {"os.environ", "os.getenv"}
    ] == []


SKIPS = re.compile(r"pytest\.(mark\.)?(skip|skipif|xfail)\b|importorskip|unittest\.skip")
UNFINISHED = re.compile(r"NotImplementedError|\b(TODO|FIXME|XXX)\b")


@pytest.mark.parametrize("pattern", [SKIPS, UNFINISHED], ids=["skips", "unfinished work"])
def test_nothing_is_left_out_silently(pattern: re.Pattern[str]) -> None:
    found = [
        f"{module.path}: {match.group()}"
        for module in modules(*PACKAGES, "tests", "bench", "scripts")
        if module.path != "tests/architecture/test_house_rules.py"
        for match in pattern.finditer(module.text)
    ]
    assert found == []


def test_tests_wait_for_events_and_never_for_a_fixed_time() -> None:
    sleeps = [
        f"{module.path}:{node.lineno} {ast.unparse(node)}"
        for module in modules("tests")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"time.sleep", "asyncio.sleep"}
        # Below 100 ms it is the step of a wait that has a deadline, or gives way to the loop.
        and not (node.args and isinstance(node.args[0], ast.Constant) and float(str(node.args[0].value)) < 0.1)
    ]
    assert sleeps == []


def test_the_simulator_is_another_computer() -> None:
    ours = [
        f"{module.path}:{line} imports {name}"
        for module in modules("firmware_sim")
        for line, name in imports(module)
        if name.split(".")[0] in {"edge_agent", "cloud", "shared"} and name != "shared.quantities"
    ]
    assert ours == []


# Written in pieces, so that this file does not offend its own rule.
TRACES = [
    "py" + "pi.org",
    "python" + "hosted.org",
    "registry." + "npmjs",
    "deb." + "debian.org",
    "archive." + "ubuntu.com",
    "proxy." + "golang.org",
    "/opt/" + "pypi",
    "/work" + "/main",
    "/work" + "/shared",
    "../shared" + "/design",
    "/tmp" + "/venv",
    "/tmp" + "/brief",
]
SECRET = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----|AKIA[0-9A-Z]{16}|xox[baprs]-[0-9A-Za-z-]{10,}")


def test_no_file_names_a_registry_or_the_place_where_it_was_written() -> None:
    found = [f"{path}: {trace}" for path in files() for trace in TRACES if trace in text_of(path)]
    assert found == []


def test_no_file_holds_a_private_key() -> None:
    assert [path for path in files() if SECRET.search(text_of(path))] == []


def test_every_dependency_is_pinned_and_no_host_is_named() -> None:
    lines = [line for line in text_of("constraints.txt").splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9.]*( ; .+)?", line)] == []
    pinned = {normal(line.partition("==")[0]) for line in lines}
    wanted = {normal(name) for name in re.findall(r'^ *"?([A-Za-z0-9_.-]+)(?:\[[a-z]+\])?>=', declared(), re.MULTILINE)}
    assert len(wanted) > 20, "the pattern no longer finds the dependencies"
    assert wanted - pinned == set()


def declared() -> str:
    """pyproject.toml with one dependency per line."""
    return text_of("pyproject.toml").replace('", "', '",\n"').replace('["', '[\n"')


def normal(name: str) -> str:
    """A distribution's name as installers compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def text_of(path: str) -> str:
    """A file's text; bytes that are no text do not matter here."""
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")


def test_these_rules_see_the_code() -> None:
    """Each rule above passes on an empty list: this one fails when the list is empty."""
    for package in PACKAGES:
        assert any(isinstance(module, Module) for module in modules(package)), package
    assert "pyproject.toml" in files()
