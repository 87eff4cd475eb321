"""Rules that keep the house simple: what stands in only one place, what is not done at all, how long things may be."""

from __future__ import annotations

import ast
import re

import pytest

from tests.architecture.tree import PACKAGES, ROOT, Module, calls, files, imports, modules

FUNCTION_LINES_MAX = 80
CLASS_LINES_MAX = 400

# A TaskGroup waits for its tasks by construction. A bare task may stand in a function that waits for it itself.
WAITS = {"asyncio.wait", "asyncio.shield", "asyncio.gather"}

# Threads: the serial worker; in the cloud what would hold the loop: password hashing (90 ms) and a synced file write.
# aiosqlite and paho have their own.
THREADS = r"edge_agent/links/bus\.py|cloud/accounts/passwords\.py|cloud/providers/broker_file\.py"
STARTS_A_THREAD = r"(threading\.)?Thread|asyncio\.to_thread|.*\.run_in_executor|.*ThreadPoolExecutor|_thread\..*"

# Wall and monotonic time come from shared/clock.py. The simulator is another computer: its one loop keeps its own time.
CLOCKS = r"shared/clock\.py|firmware_sim/.*"
READS_A_CLOCK = (
    r"time\.(time|time_ns|monotonic|monotonic_ns|perf_counter|clock_gettime|clock_gettime_ns|sleep|localtime|gmtime)"
    r"|(datetime\.)?(datetime|date)\.(now|utcnow|today)"
)

MONEY = re.compile(r"float\(|Mapped\[float\]|\bFloat\b|\bNumeric\b|\bREAL\b")
SQL = re.compile(r"\s*(SELECT .* FROM|INSERT INTO|UPDATE \S+ SET|DELETE FROM)\b", re.IGNORECASE | re.DOTALL)
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
    groups = {
        (module.path, ast.unparse(item.optional_vars))
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.AsyncWith)
        for item in node.items
        if item.optional_vars and ast.unparse(item.context_expr) == "asyncio.TaskGroup()"
    }
    assert groups, "the search no longer finds the task groups"
    loose = []
    for module in modules("edge_agent", "cloud", "shared"):
        functions = [node for node in ast.walk(module.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        waiting = [(node.lineno, node.end_lineno or 0) for node in functions if WAITS & set(called(node))]
        loose += [
            f"{module.path}:{line} calls {name}"
            for line, name in calls(module)
            if re.fullmatch(r"(.*\.)?(create_task|ensure_future)", name)
            and (module.path, name.removesuffix(".create_task")) not in groups
            and not any(first <= line <= last for first, last in waiting)
        ]
    assert loose == []


def called(function: ast.AST) -> list[str]:
    """What a function calls, as dotted text."""
    return [ast.unparse(node.func) for node in ast.walk(function) if isinstance(node, ast.Call)]


def test_threads_exist_in_few_places() -> None:
    assert offences(STARTS_A_THREAD, THREADS) == []


def test_time_comes_from_the_clock() -> None:
    assert offences(READS_A_CLOCK, CLOCKS) == []


def test_durations_are_slept_by_the_clock() -> None:
    sleeps = [
        f"{module.path}:{node.lineno} {ast.unparse(node)}"
        for module in modules("edge_agent", "shared")
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
    nouns = "accounts|machines|catalog|stock|members|payments|tickets|orders|water|rentals|commission|supply|community"
    money = rf"cloud/({nouns})/.*\.py|edge_agent/ledger/.*\.py|shared/(messages|quantities)\.py"
    found = [
        f"{module.path}: {match.group()}"
        for module in modules()
        if re.fullmatch(money, module.path)
        for match in MONEY.finditer(module.text)
    ]
    assert found == []


def test_no_sql_is_built_from_values() -> None:
    built = [
        f"{module.path}:{node.lineno} {ast.unparse(node)[:80]}"
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.JoinedStr | ast.BinOp | ast.Call) and is_built_statement(node)
    ]
    assert built == []


def is_built_statement(node: ast.expr) -> bool:
    """True for an f-string, a sum, a % or a format() that begins like SQL on rows and has a lower-case name in it.

    Upper-case names are constants of the file; schema statements take no parameters and stand in migrations.
    """
    if isinstance(node, ast.Call):
        if not (isinstance(node.func, ast.Attribute) and node.func.attr == "format"):
            return False
        node = node.func.value
        if not isinstance(node, ast.Constant):
            return False
        return SQL.match(str(node.value)) is not None
    text = next((part.value for part in ast.walk(node) if isinstance(part, ast.Constant)), None)
    if not isinstance(text, str) or SQL.match(text) is None:
        return False
    names = [part for part in ast.walk(node) if isinstance(part, ast.Name | ast.Call)]
    return any(not (isinstance(part, ast.Name) and part.id.lstrip("_").isupper()) for part in names)


def test_no_blanket_except_outside_supervisors() -> None:
    # The bus hands whatever happened on its thread to the caller who waits for it; ingest puts the one fact that
    # breaks a batch into quarantine (I11), whatever it broke; a call out that breaks waits, and the others are made.
    supervisors = (
        r"edge_agent/supervise\.py|edge_agent/links/bus\.py|cloud/facades/mount\.py|cloud/ingest/(subscriber|batch)\.py"
        r"|cloud/outcalls\.py"
    )
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
    """A sleep may be the step of a loop that looks for something; outside a loop it is a guess."""
    sleeps = []
    for module in modules("tests"):
        loops = [node for node in ast.walk(module.tree) if isinstance(node, ast.While | ast.For | ast.AsyncFor)]
        in_loops = {id(node) for loop in loops for node in ast.walk(loop)}
        sleeps += [
            f"{module.path}:{node.lineno} {ast.unparse(node)}"
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Call)
            and ast.unparse(node.func) in {"time.sleep", "asyncio.sleep"}
            and id(node) not in in_loops
            and ast.unparse(node) != "asyncio.sleep(0)"
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
