"""One open function, real ports: pseudo-terminals and TCP; every failure is a LinkDown that says what to do."""

from __future__ import annotations

import errno
import os
import pty
import socket
import termios
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edge_agent.errors import LinkDown
from edge_agent.links import port as port_module
from edge_agent.links.port import LinkPort, open_port

WAIT_MS = 2_000


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    """The far end of a cable as a descriptor, and the near end's path."""
    far, near = pty.openpty()
    path = os.ttyname(near)
    os.close(near)
    yield far, path
    os.close(far)


def read_exactly(port: LinkPort, length: int) -> bytes:
    data = b""
    while len(data) < length:
        piece = port.read(WAIT_MS)
        assert piece, f"only {data!r} came"
        data += piece
    return data


def test_bytes_go_both_ways_over_a_terminal(terminal: tuple[int, str]) -> None:
    far, path = terminal
    with closing(open_port(path, 38_400)) as port:
        os.write(far, b"\x00\x05\x00\x72\x90")
        assert read_exactly(port, 5) == b"\x00\x05\x00\x72\x90"
        assert port.read(0) == b""
        port.write(b"\x01\x03\x40\x21")
        assert os.read(far, 10) == b"\x01\x03\x40\x21"


def test_the_terminal_is_raw_and_at_the_asked_speed(terminal: tuple[int, str]) -> None:
    far, path = terminal
    with closing(open_port(path, 9_600)) as port:
        assert termios.tcgetattr(far)[4:6] == [termios.B9600, termios.B9600]
        port.write(b"\r\n\x11\x13\x03\x04")  # what a cooked terminal would swallow or translate
        assert os.read(far, 10) == b"\r\n\x11\x13\x03\x04"


def test_a_second_opener_is_refused_and_told_why(terminal: tuple[int, str]) -> None:
    with closing(open_port(terminal[1], 38_400)), pytest.raises(LinkDown, match="in use by another program"):
        open_port(terminal[1], 38_400)


def test_a_vanished_terminal_is_a_link_down_on_reading_and_on_writing() -> None:
    far, near = pty.openpty()
    with closing(open_port(os.ttyname(near), 38_400)) as port:
        os.close(near)
        os.close(far)
        with pytest.raises(LinkDown, match="reading failed"):
            port.read(WAIT_MS)
        with pytest.raises(LinkDown, match="writing failed"):
            port.write(b"\x01\x03\x40\x21")


def test_bytes_go_both_ways_over_tcp_and_its_end_is_a_link_down() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"socket://127.0.0.1:{server.getsockname()[1]}"
        with closing(open_port(url, 38_400)) as port:
            far, _ = server.accept()
            with far:
                far.sendall(b"\x00\x06\x81\xb2")
                assert read_exactly(port, 4) == b"\x00\x06\x81\xb2"
                port.write(b"\x01\x06\x80\x22")
                assert far.recv(10) == b"\x01\x06\x80\x22"
            with pytest.raises(LinkDown, match="reading failed"):
                port.read(WAIT_MS)


def test_a_missing_port_names_the_ports_that_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port_module, "_BY_ID", tmp_path)
    monkeypatch.setattr(port_module, "_DEVICES", tmp_path)
    with pytest.raises(LinkDown, match="no serial port exists here: is the adapter plugged in"):
        open_port(str(tmp_path / "gone"), 38_400)
    (tmp_path / "usb-FTDI_FT232R-if00-port0").touch()
    with pytest.raises(LinkDown, match=r"no such port; these exist: .*usb-FTDI_FT232R-if00-port0"):
        open_port(str(tmp_path / "gone"), 38_400)
    for number in range(20):
        (tmp_path / f"usb-x{number:02}").touch()
    with pytest.raises(LinkDown, match="and 9 more"):
        open_port(str(tmp_path / "gone"), 38_400)


@pytest.mark.parametrize("path", ["/dev/null", "/dev", __file__])
def test_what_is_no_serial_port_is_said_to_be_none(path: str) -> None:
    with pytest.raises(LinkDown, match="not a serial port"):
        open_port(path, 38_400)


def test_a_missing_permission_names_the_group() -> None:
    """By the error alone: the tests may run as root, whom no permission stops."""
    assert "dialout" in port_module._what_to_do("/dev/ttyUSB0", PermissionError(errno.EACCES, "denied"))


@pytest.mark.parametrize("url", ["socket://127.0.0.1:1", "socket://127.0.0.1", "nonsense://x"])
def test_a_serial_server_that_cannot_be_reached_says_what_was_expected(url: str) -> None:
    with pytest.raises(LinkDown, match="expected socket://host:port"):
        open_port(url, 38_400)
