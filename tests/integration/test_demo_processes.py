"""Starting, killing, restarting and stopping the processes of a demonstration."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.cli.demo.processes import Processes, free_ports, postmaster_pid


def test_killed_process_is_dead_and_comes_back_without_its_injected_environment(
    tmp_path: Path,
) -> None:
    processes = Processes(tmp_path)
    first = processes.start("s", "http.server", "0", environment={"LUBIAO_CRASHPOINT": "x:1"})
    try:
        processes.kill("s")
        assert [found.name for found in processes.dead()] == ["s"]

        second = processes.restart("s")

        assert second.is_alive
        assert second.pid != first.pid
        assert not second.environment
    finally:
        processes.stop()
    assert not processes.started["s"].is_alive


def test_free_ports_differ_and_are_given_to_no_outgoing_connection() -> None:
    ports = free_ports(5)
    assert len(set(ports)) == 5
    assert max(ports) < 32_768  # Linux's default


def test_stale_or_missing_postmaster_file_is_no_server(tmp_path: Path) -> None:
    assert postmaster_pid(tmp_path) is None
    (tmp_path / "postmaster.pid").write_text(f"{os.getpid()}\n")
    assert postmaster_pid(tmp_path) is None  # that is us, not a server in this folder
    (tmp_path / "postmaster.pid").write_text("garbage\n")
    assert postmaster_pid(tmp_path) is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_killed_demonstration_leaves_no_process(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path;"
        "from gateway.cli.demo.processes import Processes;"
        "started = Processes(Path(sys.argv[1])).start('s', 'http.server', '0');"
        "print(started.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    with parent.stdout:
        child = int(parent.stdout.readline())
        command = Path(f"/proc/{child}/cmdline")
        end = time.monotonic() + 20
        while b"prctl" in command.read_bytes() and time.monotonic() < end:
            os.sched_yield()  # until it has become what it was started for

        parent.kill()
        parent.wait()

    while _is_running(child) and time.monotonic() < end:
        os.sched_yield()
    assert not _is_running(child)


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
