"""The filter as the kernel will read it."""

import struct

import pytest

from eventworker.pubsub.hooks.seccomp import is_known, program

ALLOW, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def verdict(architecture: str, number: int, *arguments: int, audit: int | None = None) -> int:
    """What the filter says of a call: an interpreter of the few instructions that it has."""
    seen = {0: number, 4: audit or AUDIT[architecture]}
    for n, argument in enumerate([*arguments, *[0] * 6][:6]):
        seen |= {16 + 8 * n: argument & 0xFFFFFFFF, 20 + 8 * n: argument >> 32}
    instructions = list(struct.iter_unpack("=HBBI", program(architecture)))
    value, place = 0, 0
    while True:
        code, if_true, if_false, k = instructions[place]
        place += 1
        if code == 0x06:
            return int(k)
        if code == 0x20:
            value = seen[k]
            continue
        true = {0x15: value == k, 0x35: value >= k, 0x45: bool(value & k)}[code]
        place += if_true if true else if_false


@pytest.mark.row("HK-14")
@pytest.mark.parametrize(
    ("architecture", "read", "clone", "execve", "socket", "ptrace"),
    [("x86_64", 0, 56, 59, 41, 101), ("aarch64", 63, 220, 221, 198, 117)],
)
def test_only_what_is_needed_is_allowed(
    architecture: str, read: int, clone: int, execve: int, socket: int, ptrace: int
) -> None:
    assert is_known(architecture)
    assert verdict(architecture, read) == ALLOW
    for number in (execve, socket, ptrace, 425, 434, 1000):
        assert verdict(architecture, number) == EPERM
    assert verdict(architecture, 435) == ENOSYS
    thread, fork, namespace = 0x3D0F00, 17, 0x10000000
    assert verdict(architecture, clone, thread) == ALLOW
    assert verdict(architecture, clone, fork) == EPERM
    assert verdict(architecture, clone, thread | namespace) == EPERM
    assert verdict(architecture, clone, namespace) == EPERM
    assert verdict(architecture, read, audit=0x40000003) == KILL


@pytest.mark.row("HK-14")
@pytest.mark.parametrize(
    ("architecture", "socketpair", "sendto", "ioctl", "refused"),
    [
        ("x86_64", 53, 44, 16, {"sendmsg": 46, "recvmsg": 47, "setsockopt": 54, "flock": 73}),
        ("aarch64", 199, 206, 29, {"sendmsg": 211, "recvmsg": 212, "setsockopt": 208, "flock": 32}),
    ],
)
def test_a_hook_may_have_a_pair_of_sockets_and_reach_nobody_by_it(
    architecture: str, socketpair: int, sendto: int, ioctl: int, refused: dict[str, int]
) -> None:
    unix, inet, netlink, vsock = 1, 2, 16, 40
    assert verdict(architecture, socketpair, unix, 1, 0) == ALLOW
    for family in (0, inet, netlink, vsock):
        assert verdict(architecture, socketpair, family, 1, 0) == EPERM
    assert verdict(architecture, sendto, 3, 1, 1, 0, 0, 0) == ALLOW
    for address in (1, 1 << 32, 0x7FFF00000000):
        assert verdict(architecture, sendto, 3, 1, 1, 0, address, 16) == EPERM
    assert verdict(architecture, ioctl, 1, 0x5401) == ALLOW
    assert verdict(architecture, ioctl, 1, 0x5421) == ALLOW
    for request in (0x5412, 0x40049409, 0x40086602):  # TIOCSTI, FICLONE, FS_IOC_SETFLAGS
        assert verdict(architecture, ioctl, 1, request) == EPERM
    assert {verdict(architecture, number) for number in refused.values()} == {EPERM}


def test_the_other_calls_of_a_processor_are_no_way_round() -> None:
    assert verdict("x86_64", 0x40000000) == EPERM
    assert verdict("x86_64", 0x40000000 + 520) == EPERM


def test_no_filter_is_made_up() -> None:
    assert not is_known("sparc")
    with pytest.raises(KeyError):
        program("sparc")
