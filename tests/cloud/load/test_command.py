"""`python -m cloud load` and `dump`, as a process: exit codes, what is said, and a cloud that loads a file first."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cloud.load.command import Bar
from tests.cloud.load.test_load import BOOK

GOOD, DATA_ERROR, UNAVAILABLE, WRONG_CALL = 0, 65, 69, 2


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with a migrated database."""
    assert cloud("migrate", data=tmp_path / "var").returncode == GOOD
    return tmp_path / "var"


def cloud(*arguments: str, data: Path) -> subprocess.CompletedProcess[str]:
    """Run one command of the cloud to its end."""
    return subprocess.run(command(*arguments, data=data), capture_output=True, text=True, check=False, timeout=60)


def command(*arguments: str, data: Path) -> list[str]:
    return [sys.executable, "-m", "cloud", *arguments, "--data", str(data)]


def book(folder: Path, text: str = BOOK) -> str:
    (folder / "book.yaml").write_text(text, encoding="utf-8")
    return str(folder / "book.yaml")


@pytest.mark.timeout(400)  # a dozen processes, each of which loads the whole cloud
def test_a_book_goes_in_and_comes_out_in_every_form(data: Path, tmp_path: Path) -> None:
    shown = cloud("load", book(tmp_path), "--dry-run", data=data)
    assert (shown.returncode, "+ aisles acme/VI107/AI59" in shown.stdout) == (GOOD, True)
    assert "nothing was written: a dry run" in shown.stdout
    loaded = cloud("load", book(tmp_path), data=data)
    assert (loaded.returncode, loaded.stderr) == (GOOD, "")
    assert "book.yaml: loaded" in loaded.stdout
    for name in ("out.yaml", "out.json", "out.xlsx", "out"):
        assert cloud("dump", str(tmp_path / name), "--hashes", data=data).returncode == GOOD
        again = cloud("load", str(tmp_path / name), data=data)
        assert (again.returncode, again.stderr) == (GOOD, "")
    assert (tmp_path / "out.yaml").stat().st_mode & 0o077 == 0, "names, phones and hashes are for the owner alone"
    printed = cloud("dump", "--brand", "acme", data=data).stdout
    assert "VG13" in printed
    assert "password_hash" not in printed


def test_bad_lines_are_an_exit_code_of_their_own(data: Path, tmp_path: Path) -> None:
    bad = book(tmp_path, BOOK + "- {member: CU 1}\n- {member: CU2, opening_fen: 7}\n")
    refused = cloud("load", bad, data=data)
    assert refused.returncode == DATA_ERROR
    assert "book.yaml: members, row 16, column member: 'CU 1': expected str" in refused.stderr
    assert "nothing was written: 1 problems (--keep-good loads the rest)" in refused.stdout
    kept = cloud("load", bad, "--keep-good", data=data)
    assert (kept.returncode, "the good lines were loaded, 1 problems" in kept.stdout) == (DATA_ERROR, True)
    assert "CU2" in cloud("dump", data=data).stdout


def test_what_cannot_be_done_is_told(data: Path, tmp_path: Path) -> None:
    assert cloud("load", data=data).returncode == WRONG_CALL
    assert cloud("load", str(tmp_path / "none.yaml"), data=data).returncode == UNAVAILABLE
    assert cloud("load", book(tmp_path, "- nonsense"), data=data).returncode == DATA_ERROR
    assert cloud("dump", "--brand", "nobody", data=data).returncode == UNAVAILABLE
    empty = cloud("load", book(tmp_path), data=tmp_path / "fresh")
    assert (empty.returncode, "run `migrate` first" in empty.stderr) == (UNAVAILABLE, True)


def test_the_schema_is_printed_and_a_template_is_written(data: Path, tmp_path: Path) -> None:
    assert json.loads(cloud("load", "--schema", data=data).stdout)["properties"].keys() >= {"brands", "goods"}
    assert cloud("load", "--template", str(tmp_path / "empty.xlsx"), data=data).returncode == GOOD
    assert cloud("load", str(tmp_path / "empty.xlsx"), data=data).returncode == GOOD


def test_a_cloud_loads_a_file_first_and_still_gets_its_administrator(tmp_path: Path) -> None:
    arguments = command("all", "--port", "0", "--load", book(tmp_path), data=tmp_path / "var")
    # A broker that is not there is no reason not to serve.
    environment = os.environ | {"AISLEFLOW_BROKER_PORT": "1"}
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("First administrator:"):
                break
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
    assert "book.yaml: loaded" in "".join(said)
    assert said[-1].startswith("First administrator: tenant=main login=admin")


def test_a_file_that_is_refused_keeps_the_cloud_from_starting(tmp_path: Path) -> None:
    bad = book(tmp_path, "goods:\n- {goods: a}\n")
    assert cloud("all", "--port", "0", "--load", bad, data=tmp_path / "var").returncode == DATA_ERROR


def test_a_bar_is_drawn_on_a_terminal_only(tmp_path: Path) -> None:
    controller, terminal = os.openpty()
    with os.fdopen(terminal, "w") as screen:
        bar = Bar(screen)
        bar.show(2_500, 5_000)
        drawn = os.read(controller, 200).decode()
        bar.clear()
        cleared = os.read(controller, 200).decode()
    os.close(controller)
    assert drawn == "\r[###############...............] 2500/5000"
    assert cleared == "\r\x1b[K"
    with (tmp_path / "log").open("w") as file:
        bar = Bar(file)
        bar.show(2_500, 5_000)
        bar.clear()
    assert (tmp_path / "log").read_text(encoding="utf-8") == ""
