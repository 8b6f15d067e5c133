"""How much a hook may have, how it ends, and that its keeper hears of it."""

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from eventworker.pubsub.hooks.bubblewrap import Missing
from eventworker.pubsub.hooks.limits import FLOOD, MAX_OUTPUT
from eventworker.pubsub.hooks.pool import Pool
from eventworker.pubsub.hooks.sandbox import Box, Sandbox, SandboxEnded
from tests.helpers.hooks import Without, call
from tests.servers import wait_until

pytestmark = [pytest.mark.row("HK-14"), pytest.mark.usefixtures("full_isolation")]


def test_a_fork_bomb_is_contained_without_seccomp_too(box: Box) -> None:
    weak = Without(box.isolation, box.surroundings, box.limits, box.program, "filter")
    code = """
import os, time
count = 0
while count < 200:
    try:
        if os.fork() == 0:
            time.sleep(60)
    except OSError:
        break
    count += 1
print(count < 20)
"""
    pids: list[int] = []
    ended = call(code, weak, seen=lambda sandbox: pids.append(sandbox.pid))
    assert ended.output == "True\n"
    wait_until(lambda: not _group(pids[0]), message="processes are left")


def _group(leader: int) -> list[int]:
    """Processes that descend from this one or share its session, as far as they can be seen."""
    found = []
    for each in Path("/proc").iterdir():
        if each.name.isdecimal():
            try:
                fields = (each / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if leader in (int(fields[1]), int(fields[3])) or int(each.name) == leader:
                found.append(int(each.name))
    return found


def test_threads_are_counted(box: Box) -> None:
    code = """
import threading
stop, count = threading.Event(), 0
try:
    while count < 200:
        threading.Thread(target=stop.wait, daemon=True).start()
        count += 1
except RuntimeError:
    print(count < 20)
"""
    assert call(code, box).output == "True\n"


def test_memory_has_an_end(box: Box) -> None:
    ended = call("x = []\nwhile True: x.append(bytearray(2 ** 20))", box)
    assert ended.how in ("raised", "ended")
    assert "Memory" in ended.error


def test_its_folder_has_an_end(box: Box) -> None:
    code = """
total = 0
try:
    for n in range(100):
        with open(f"/tmp/{n}", "wb") as file:
            total += file.write(bytes(2 ** 20))
except OSError as error:
    print(error.strerror, total <= 2 ** 22)
"""
    assert call(code, box).output == "No space left on device True\n"


@pytest.mark.parametrize("made", ["os.mkdir({})", "os.symlink('x' * 4000, {})", "open({}, 'w')"])
def test_names_in_its_folder_have_an_end(box: Box, made: str) -> None:
    """The kernel keeps what has no content in memory of its own, some 800 bytes each."""
    made = made.format("f'/tmp/{count}'")
    code = f"""
import os
count = 0
try:
    while count < 10000:
        {made}
        count += 1
except OSError as error:
    print(error.strerror, 0 < count < {box.limits.names})
"""
    assert call(code, box).output == "No space left on device True\n"


def test_a_file_has_an_end(box: Box) -> None:
    roomy = replace(box, limits=replace(box.limits, storage=2**20))
    ended = call("open('/tmp/x', 'wb').write(bytes(2 ** 21))", roomy)
    assert (ended.how, ended.error.partition(":")[0]) == ("raised", "OSError")


def test_a_loop_is_ended_in_time(box: Box) -> None:
    ended = call("while True: pass", box, timeout=0.5)
    assert (ended.how, ended.error) == ("ended", "it took too long")


def test_who_ignores_signals_is_ended_with_all_that_it_has_started(box: Box) -> None:
    code = """
import signal, threading, time
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
for _ in range(3):
    threading.Thread(target=time.sleep, args=(600,)).start()
while True:
    try:
        time.sleep(600)
    except BaseException:
        pass
"""
    pids: list[int] = []
    ended = call(code, box, timeout=0.5, seen=lambda sandbox: pids.append(sandbox.pid))
    assert (ended.how, ended.error) == ("ended", "it took too long")
    wait_until(lambda: not _group(pids[0]), message="processes are left")


def test_processor_time_has_an_end_of_its_own(box: Box) -> None:
    short = replace(box, limits=replace(box.limits, timeout=-1.5))  # one second of a processor
    ended = call("while True: pass", short, timeout=60)
    assert (ended.how, "SIG" in ended.error) == ("ended", True)


@pytest.mark.parametrize("code", [0, 1, 77])
def test_an_early_exit_is_no_success(box: Box, code: int) -> None:
    ended = call(f"import os; os._exit({code})", box)
    assert (ended.how, f"exit code {code} " in ended.error) == ("ended", True)


def test_a_crash_of_the_interpreter_is_told(box: Box) -> None:
    assert "SIGSEGV" in call("import ctypes; ctypes.string_at(0)", box).error


@pytest.mark.parametrize("name", ["SystemExit", "KeyboardInterrupt", "GeneratorExit"])
def test_whatever_is_raised_is_told(box: Box, name: str) -> None:
    assert call(f"raise {name}('no')", box).error == f"{name}: no"


def test_output_is_cut(box: Box) -> None:
    ended = call(f"print('x' * {MAX_OUTPUT + 10000})", box)
    assert ended.how == "done"
    assert len(ended.output) < MAX_OUTPUT + 100
    assert ended.output.endswith("[there was more]")


def test_a_flood_of_output_is_ended(box: Box) -> None:
    ended = call("while True: print('x' * 100000)", box)
    assert (ended.how, f"{FLOOD // 2**20} MiB" in ended.error) == ("ended", True)
    assert len(ended.output) < MAX_OUTPUT + 100


@pytest.mark.parametrize(
    "data",
    [b"no message\n", b"[]\n", b"\xff\xfe\n", b"{" * 100000 + b"\n", b'{"ended": 1}\n'],
    ids=["words", "list", "bytes", "deep", "forged"],
)
def test_whatever_is_said_on_the_pipe_ends_the_run_only(box: Box, data: bytes) -> None:
    code = f"""
import os
for n in range(3, 64):
    try:
        os.write(n, {data!r})
    except OSError:
        pass
"""
    assert call(code, box).how in ("ended", 1, "done")


def test_an_endless_line_is_not_gathered(box: Box) -> None:
    code = """
import os
while True:
    for n in range(3, 8):
        try:
            os.write(n, b"x" * 65536)
        except OSError:
            pass
"""
    ended = call(code, box)
    assert (ended.how, ended.error) == ("ended", "it said more at a time than is listened to")


def test_who_does_not_read_its_answers_is_ended_in_time(box: Box) -> None:
    code = """
import os
while True:
    for n in range(3, 8):
        try:
            os.write(n, b'{"ask": "publish"}\\n' * 100)
        except OSError:
            pass
"""
    ended = call(code, box, timeout=1)
    assert (ended.how, ended.error) == ("ended", "it took too long")


def test_a_sandbox_dies_with_its_keeper(box: Box) -> None:
    """The kernel sees to that, whatever the keeper dies of."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        sandbox = Sandbox(box)
        sandbox.wait_until_ready()
        sandbox.begin({"type": "python_code", "arg": "while True: pass", **_JOB}, 60)
        os.write(write, str(sandbox.pid).encode())
        os.kill(os.getpid(), 9)
    os.close(write)
    inner = int(os.read(read, 20))
    os.close(read)
    os.waitpid(pid, 0)
    wait_until(lambda: not _group(inner), message="the sandbox has outlived its keeper")


_JOB = {
    "config": {},
    "owner": "a@b",
    "item": dict.fromkeys(("event", "id", "node", "payload", "publisher", "key"), "x"),
}


def test_a_process_that_has_ended_keeps_its_number_until_it_is_closed(box: Box) -> None:
    """What is killed then is its session, and nobody else's."""
    with Pool(box, 0).take() as sandbox:
        sandbox.begin({"type": "python_code", "arg": "import os; os._exit(3)", **_JOB}, 10)
        with pytest.raises(SandboxEnded, match="exit code 3"):
            sandbox.receive()
        assert not sandbox.is_alive
        assert Path(f"/proc/{sandbox.pid}").exists()
    assert not Path(f"/proc/{sandbox.pid}").exists()


def test_a_sandbox_that_dies_while_it_waits_is_replaced(box: Box) -> None:
    pool = Pool(box, 2)
    pool.fill()
    try:
        for sandbox in list(pool._waiting):
            os.kill(sandbox.pid, 9)
        with pool.take() as another:
            another.begin({"type": "python_code", "arg": "pass", **_JOB}, 10)
            assert another.receive() == {"ended": "done"}
    finally:
        pool.close()


def test_a_layer_that_is_missing_is_named(box: Box, tmp_path: Path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'setting up uid map: Permission denied' >&2\nexit 1\n")
    broken.chmod(stat.S_IRWXU)
    with pytest.raises(Missing, match="setting up uid map: Permission denied"):
        Pool(replace(box, program=str(broken)), 0).take()
