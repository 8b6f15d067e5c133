"""What a hook that means harm can do: nothing that outlives it, and nothing outside of its sandbox.

Each attempt prints ESCAPED if it gets anywhere.
"""

import os
import socket
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventworker.pubsub.hooks.sandbox import Box
from tests.helpers.hooks import CAPABILITIES, Without, call

pytestmark = [pytest.mark.row("HK-14"), pytest.mark.usefixtures("full_isolation")]


@pytest.fixture(params=["", "paths", "filter"], ids=["all-locks", "no-landlock", "no-seccomp"])
def weakened(request: pytest.FixtureRequest, box: Box) -> Box:
    if not request.param:
        return box
    return Without(box.isolation, box.surroundings, box.limits, box.program, request.param)


@pytest.fixture
def canary() -> Iterator[Path]:
    """A file that everybody may read and write, outside of every sandbox."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        path = Path(folder, "canary")
        path.write_text("the canary")
        path.chmod(0o666)
        yield path


def attempt(code: str) -> str:
    """Code that says whether it got through, and why not."""
    lines = "\n".join(f"    {line}" for line in code.splitlines())
    return f"try:\n{lines}\n    print('ESCAPED')\nexcept BaseException as e:\n    print(repr(e))"


READ = """
import os
names = [{canary!r}, "/etc/passwd", "/etc/shadow", "/proc/1/environ", "/proc/self/environ",
         "/proc/self/mem", "/proc/1/root" + {canary!r}, "/sys/kernel/notes", "/dev/mem", "/dev/sda",
         "/dev/shm", "/run", "/var", "/root/.ssh", "/home", "..", "../../.." + {canary!r}]
for name in names:
    try:
        found = os.listdir(name) if os.path.isdir(name) else open(name, "rb").read(10)
    except OSError:
        continue
    if found and name != "..":
        print("ESCAPED", name, found)
"""


def test_files_outside_are_not_there(canary: Path, weakened: Box) -> None:
    ended = call(READ.format(canary=str(canary)), weakened)
    assert ended.how == "done"
    assert "ESCAPED" not in ended.output


def test_nothing_can_be_written_but_in_its_own_folder(canary: Path, weakened: Box) -> None:
    code = f"""
import os, sys
for folder in ("/", "/usr/lib", "/inside", "/inside/hook_inside", "/etc", "/dev",
               {str(canary.parent)!r}, *[each for each in sys.path if each.startswith("/")]):
    try:
        with open(os.path.join(folder, "new"), "w") as file:
            file.write("x")
    except OSError:
        continue
    print("ESCAPED", folder)
with open("/tmp/of-the-hook", "w") as file:
    file.write("mine")
print(open("of-the-hook").read())
"""
    ended = call(code, weakened)
    assert (ended.how, ended.output) == ("done", "mine\n")
    assert canary.read_text() == "the canary"
    assert not Path("/tmp/of-the-hook").exists()


def test_a_link_out_of_its_folder_leads_nowhere(canary: Path, weakened: Box) -> None:
    code = attempt(f"import os\nos.symlink({str(canary)!r}, '/tmp/link')\nopen('/tmp/link').read()")
    assert "ESCAPED" not in call(code, weakened).output


def test_nothing_is_left_for_the_next_run(box: Box) -> None:
    call("open('/tmp/left', 'w').write('x')", box)
    assert call("import os; print(os.listdir('/tmp').count('left'))", box).output == "0\n"


def test_the_environment_is_empty(monkeypatch: pytest.MonkeyPatch, box: Box) -> None:
    monkeypatch.setenv("CANARY", "sings")
    ended = call("import os; print(sorted(os.environ))", box)
    assert ended.output == "['HOME', 'LANG', 'PWD']\n"


def test_no_open_file_is_inherited(canary: Path, box: Box) -> None:
    descriptor = os.open(canary, os.O_RDWR)
    os.set_inheritable(descriptor, True)
    code = """
import os, stat
for n in range(64):
    try:
        mode = os.fstat(n).st_mode
    except OSError:
        continue
    if not stat.S_ISFIFO(mode) and not (n == 0 and stat.S_ISCHR(mode)):
        print("ESCAPED", n, mode)
"""
    try:
        assert "ESCAPED" not in call(code, box).output
    finally:
        os.close(descriptor)


def test_other_processes_are_neither_seen_nor_signalled(weakened: Box) -> None:
    code = f"""
import os, signal
print(os.path.exists("/proc/self"))
for pid in ({os.getpid()}, {os.getppid()}):
    try:
        os.kill(pid, signal.SIGTERM)
    except OSError:
        continue
    print("ESCAPED", pid)
print(os.getppid() < 10)
"""
    assert call(code, weakened).output == "False\nTrue\n"


@pytest.fixture
def tcp() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def test_no_network_is_there(tcp: socket.socket, weakened: Box) -> None:
    port = tcp.getsockname()[1]
    code = "\n".join(
        [
            attempt(f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 1)"),
            attempt("socket.create_connection(('1.1.1.1', 53), 1)"),
            attempt("socket.getaddrinfo('localhost.example.org', 80)"),
            attempt("s = socket.socket(type=socket.SOCK_DGRAM)\ns.sendto(b'x', ('8.8.8.8', 53))"),
        ]
    )
    ended = call(code, weakened)
    assert ended.how == "done"
    assert "ESCAPED" not in ended.output
    tcp.settimeout(0)
    with pytest.raises(BlockingIOError):
        tcp.accept()


def test_an_abstract_socket_of_another_process_cannot_be_reached(weakened: Box) -> None:
    name = f"\0canary-{uuid.uuid4()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen()
        connect = f"import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect({name!r})"
        assert "ESCAPED" not in call(attempt(connect), weakened).output


def test_pairs_of_sockets_reach_nobody(box: Box) -> None:
    code = """
import ctypes, errno, socket, array
libc, pair = ctypes.CDLL(None, use_errno=True), (ctypes.c_int * 2)()
for family in range(64):
    for type in (1, 2, 3, 5):
        if libc.socketpair(family, type, 0, pair) == 0 or ctypes.get_errno() != errno.EPERM:
            if family != socket.AF_UNIX:
                print("ESCAPED", family, ctypes.get_errno())
one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
one.send(b"heard")
print(other.recv(5))
for reach in (
    lambda: one.sendto(b"x", "/dev/log"),
    lambda: one.sendto(b"x", "\\0abstract"),
    lambda: one.sendmsg([b"x"], [(1, socket.SCM_RIGHTS, array.array("i", [0]))]),
    lambda: one.setsockopt(socket.SOL_SOCKET, 26, bytes(16)),
):
    try:
        reach()
    except PermissionError:
        continue
    print("ESCAPED")
"""
    assert call(code, box).output == "b'heard'\n"


def test_no_file_that_it_may_read_is_locked_for_others(box: Box) -> None:
    code = attempt("import fcntl, os\nfcntl.flock(open(os.__file__), fcntl.LOCK_EX)")
    assert "ESCAPED" not in call(code, box).output


PRIVILEGES = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    if getattr(libc, name)(*arguments) >= 0:
        print("ESCAPED", name)
call("unshare", 0x10000000)
call("unshare", 0x00020000)
call("mount", b"none", b"/tmp", b"tmpfs", 0, None)
call("mount", None, b"/", None, 0x1020, None)
call("umount2", b"/tmp", 2)
call("chroot", b"/tmp")
call("ptrace", 16, 1, 0, 0)
call("ptrace", 0, 0, 0, 0)
call("setuid", 0)
call("setgid", 0)
call("setns", 0, 0)
call("sethostname", b"x", 1)
call("personality", 0x0040000)
call("bind", 0, None, 0)
for number in ({numbers}):
    if libc.syscall(number, 0, 0, 0, 0, 0, 0) >= 0:
        print("ESCAPED", number)
if libc.prctl(38, 0, 0, 0, 0) >= 0 and libc.prctl(39, 0, 0, 0, 0) != 1:
    print("ESCAPED no_new_privs")
import resource
try:
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
    print("ESCAPED limit")
except (ValueError, OSError):
    pass
print(os.getuid() != 0, os.geteuid() != 0, os.getgroups() in ([], [65534]))
"""
#: bpf, keyctl, add_key, perf_event_open, io_uring_setup, userfaultfd, kexec_load, init_module,
#: process_vm_readv, name_to_handle_at, memfd_create, pidfd_open
_NUMBERS = {
    "x86_64": (321, 250, 248, 298, 425, 323, 246, 175, 310, 303, 319, 434),
    "aarch64": (280, 219, 217, 241, 425, 282, 104, 105, 270, 264, 279, 434),
}


def test_no_privilege_can_be_had(box: Box) -> None:
    numbers = ", ".join(map(str, _NUMBERS[os.uname().machine]))
    ended = call(PRIVILEGES.replace("{numbers}", numbers), box)
    assert ended.output == "True True True\n"


def test_no_capability_is_left(box: Box) -> None:
    weak = Without(box.isolation, box.surroundings, box.limits, box.program, "filter")
    assert call(CAPABILITIES, weak).output == "0 True\n[]\nFalse\n"


def test_without_seccomp_it_is_still_nobody(box: Box) -> None:
    weak = Without(box.isolation, box.surroundings, box.limits, box.program, "filter")
    code = (
        attempt("import os\nos.setuid(0)")
        + "\n"
        + attempt(
            "import ctypes\nassert not ctypes.CDLL(None).mount(b'x', b'/tmp', b'tmpfs', 0, None)"
        )
    )
    assert "ESCAPED" not in call(code, weak).output


def test_no_program_is_run_and_no_process_started(box: Box) -> None:
    code = "\n".join(
        [
            attempt("import os, sys\nos.fork()"),
            attempt("import subprocess\nsubprocess.run([sys.executable, '-c', ''])"),
            attempt("os.execv(sys.executable, ['python'])"),
            attempt("os.posix_spawn(sys.executable, ['python'], {})"),
        ]
    )
    ended = call(code, box)
    assert (ended.how, ended.output.count("PermissionError")) == ("done", 4)
