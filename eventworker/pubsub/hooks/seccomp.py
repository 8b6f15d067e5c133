"""The system calls that a hook's process may make: a filter in the kernel's own language.

What is not in the list is answered with EPERM. So a hook starts no process and no program, opens no
socket but pairs that lead to itself, hands on no descriptor, traces nobody, and reaches neither
mounts, keys, namespaces nor the younger parts of the kernel.
"""

from __future__ import annotations

import base64
import errno
import platform
import struct

_ALLOW, _ERRNO, _KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
#: Places in what the filter looks at; of an argument its lower half, which comes first.
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_ARGUMENT_SIZE = 8
#: Each architecture as the audit names it, and the column of its numbers below.
_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
#: From here on a number means the calls of x32, which share the architecture's name.
_X32 = 0x40000000
_CLONE_THREAD, _CLONE_NEW = 0x00010000, 0x7E020000
_CLONE, _CLONE3 = (56, 220), (435, 435)
_SOCKETPAIR, _SENDTO, _IOCTL = (53, 199), (44, 206), (16, 29)
_AF_UNIX = 1
#: What is asked of a terminal or of a pipe: TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, and whether a
#: descriptor is inherited. Everything else is the business of a file system or of a device.
_ASKED = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)

#: Numbers on x86_64 and on aarch64, which lacks those that a newer call has replaced.
_ALLOWED = """
read 0 63  write 1 64  close 3 57  fstat 5 80  newfstatat 262 79  stat 4 -  lstat 6 -
statx 332 291  open 2 -  openat 257 56  access 21 -  faccessat 269 48  faccessat2 439 439
readlink 89 -  readlinkat 267 78  getdents64 217 61  getcwd 79 17  chdir 80 49  fchdir 81 50
mkdir 83 -  mkdirat 258 34  unlink 87 -  unlinkat 263 35  rmdir 84 -  rename 82 -
renameat 264 38  renameat2 316 276  link 86 -  linkat 265 37  symlink 88 -  symlinkat 266 36
chmod 90 -  fchmod 91 52  fchmodat 268 53  truncate 76 45  ftruncate 77 46  fallocate 285 47
fadvise64 221 223  fsync 74 82  fdatasync 75 83  sync_file_range 277 84  utimensat 280 88
umask 95 166  lseek 8 62  pread64 17 67  pwrite64 18 68  readv 19 65  writev 20 66
preadv 295 69  pwritev 296 70  sendfile 40 71  copy_file_range 326 285  fcntl 72 25
dup 32 23  dup2 33 -  dup3 292 24  pipe 22 -  pipe2 293 59  eventfd2 290 19
timerfd_create 283 85  timerfd_settime 286 86  timerfd_gettime 287 87
poll 7 -  ppoll 271 73  select 23 -  pselect6 270 72  epoll_create1 291 20  epoll_ctl 233 21
epoll_wait 232 -  epoll_pwait 281 22  epoll_pwait2 441 441
recvfrom 45 207  shutdown 48 210  getsockopt 55 209  getsockname 51 204  getpeername 52 205
mmap 9 222  munmap 11 215  mprotect 10 226  mremap 25 216  madvise 28 233  brk 12 214
mincore 27 232  futex 202 98  set_robust_list 273 99  get_robust_list 274 100
set_tid_address 218 96  rseq 334 293  membarrier 324 283  sched_yield 24 124
sched_getaffinity 204 123  getcpu 309 168
rt_sigaction 13 134  rt_sigprocmask 14 135  rt_sigreturn 15 139  rt_sigpending 127 136
rt_sigtimedwait 128 137  rt_sigsuspend 130 133  sigaltstack 131 132  tgkill 234 131
restart_syscall 219 128  nanosleep 35 101  clock_nanosleep 230 115  clock_gettime 228 113
clock_getres 229 114  gettimeofday 96 169  time 201 -  times 100 153  getitimer 36 102
setitimer 38 103  alarm 37 -  pause 34 -
getpid 39 172  getppid 110 173  gettid 186 178  getuid 102 174  geteuid 107 175  getgid 104 176
getegid 108 177  getgroups 115 158  getresuid 118 148  getresgid 120 150  getpgrp 111 -
getpgid 121 155  getsid 124 156  getrusage 98 165  getrlimit 97 163  prlimit64 302 261
uname 63 160  sysinfo 99 179  getrandom 318 278  statfs 137 43  fstatfs 138 44  arch_prctl 158 -
exit 60 93  exit_group 231 94  wait4 61 260  waitid 247 95
"""


def machine() -> str:
    """The architecture of this machine."""
    return platform.machine()


def is_known(architecture: str) -> bool:
    """Whether there is a filter for it."""
    return architecture in _ARCHITECTURES


def encoded(architecture: str) -> str:
    """The filter as it is handed to the process that puts it on itself: base64.

    :raises KeyError: for an architecture whose numbers are not known.
    """
    return base64.b64encode(program(architecture)).decode()


def program(architecture: str) -> bytes:
    """The filter, eight bytes for each instruction.

    :raises KeyError: for an architecture whose numbers are not known.
    """
    name, column = _ARCHITECTURES[architecture]
    numbers = _numbers(column)
    deny = _ERRNO | errno.EPERM
    made = [
        _one(_LOAD, _ARCHITECTURE),
        _one(_JUMP_EQUAL, name, 1, 0),
        _one(_RETURN, _KILL_PROCESS),
        _one(_LOAD, _NUMBER),
        _one(_JUMP_AT_LEAST, _X32, 0, 1),
        _one(_RETURN, deny),
        # The C library falls back to clone, whose flags a filter can see.
        _one(_JUMP_EQUAL, _CLONE3[column], 0, 1),
        _one(_RETURN, _ERRNO | errno.ENOSYS),
        # A thread, and nothing that is more than a thread.
        _one(_JUMP_EQUAL, _CLONE[column], 0, 5),
        _one(_LOAD, _FIRST_ARGUMENT),
        _one(_JUMP_ANY, _CLONE_NEW, 2, 0),
        _one(_JUMP_ANY, _CLONE_THREAD, 0, 1),
        _one(_RETURN, _ALLOW),
        _one(_RETURN, deny),
        # Of another family the kernel would make both sockets before it said that it has no pairs.
        *_if(_SOCKETPAIR[column], _argument_is(0, _AF_UNIX)),
        # To the other half only, to no address.
        *_if(_SENDTO[column], [*_argument_is(4, 0, half=1), *_argument_is(4, 0)]),
        *_if(_IOCTL[column], _argument_is(1, *_ASKED)),
    ]
    for index, number in enumerate(numbers):
        made.append(_one(_JUMP_EQUAL, number, len(numbers) - index, 0))
    return b"".join([*made, _one(_RETURN, deny), _one(_RETURN, _ALLOW)])


def _if(number: int, tests: list[bytes]) -> list[bytes]:
    """For a call of that number: allowed if it goes through the tests, else refused."""
    return [
        _one(_JUMP_EQUAL, number, 0, len(tests) + 1),
        *tests,
        _one(_RETURN, _ALLOW),
    ]


def _argument_is(n: int, *values: int, half: int = 0) -> list[bytes]:
    """Refuse the call unless the lower half of its n-th argument is one of these values.

    :param half: 1 for the upper one.
    """
    tests = [_one(_JUMP_EQUAL, value, len(values) - index, 0) for index, value in enumerate(values)]
    place = _FIRST_ARGUMENT + _ARGUMENT_SIZE * n + 4 * half
    return [_one(_LOAD, place), *tests, _one(_RETURN, _ERRNO | errno.EPERM)]


def _numbers(column: int) -> list[int]:
    words = _ALLOWED.split()
    return [int(word) for word in words[1 + column :: 3] if word != "-"]


def _one(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
