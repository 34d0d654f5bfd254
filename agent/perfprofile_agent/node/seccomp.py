"""A system call filter for processes that parse hostile bytes: read what is open, write the answer, manage memory, end.

Everything else, above all opening files, sockets, new processes and signals to others, fails with EPERM. An allow-list that answers
with an error stays robust: when a C library or Python takes a new call one day, the parser gets an error, not death.

Format: classic BPF over struct seccomp_data (linux/seccomp.h, linux/filter.h; seccomp(2)).
"""

import ctypes
import platform
from typing import Final

from perfprofile_agent.node import libc

_PR_SET_SECCOMP: Final = 22
_SECCOMP_MODE_FILTER: Final = 2
_LOAD_WORD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_IF_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K
_ALLOW: Final = 0x7FFF0000
_ERROR_EPERM: Final = 0x00050001
_KILL_PROCESS: Final = 0x80000000
_NUMBER_AT: Final = 0
_ARCHITECTURE_AT: Final = 4

_ARCHITECTURES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""AUDIT_ARCH_*: system calls of another architecture (32-bit ones) have other numbers and end the process."""
_ALLOWED: Final[dict[str, tuple[int, int]]] = {
    # name: (x86_64, aarch64), from the kernel's syscall tables
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "pread64": (17, 67),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "getpid": (39, 172),
    "sendto": (44, 206),
    "recvfrom": (45, 207),
    "exit": (60, 93),
    "sigaltstack": (131, 132),
    "futex": (202, 98),
    "restart_syscall": (219, 128),
    "clock_gettime": (228, 113),
    "exit_group": (231, 94),
    "getrandom": (318, 278),
}


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("if_true", ctypes.c_uint8), ("if_false", ctypes.c_uint8), ("operand", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


def allow_reading_only(machine: str | None = None) -> None:
    """Put the filter on the calling process, for ever. It must have set no_new_privs.

    Raises:
        OSError: The kernel has no seccomp filters, or refuses one.
        KeyError: The machine is of an architecture that the table doesn't know.
    """
    instructions = _filter(machine or platform.machine())
    program = _Program(len(instructions), ctypes.cast(instructions, ctypes.POINTER(_Instruction)))
    libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(program))


def _filter(machine: str) -> ctypes.Array[_Instruction]:
    column = 0 if machine == "x86_64" else 1
    numbers = sorted(numbers[column] for numbers in _ALLOWED.values())
    body = [
        _Instruction(_LOAD_WORD, 0, 0, _ARCHITECTURE_AT),
        _Instruction(_JUMP_IF_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        _Instruction(_RETURN, 0, 0, _KILL_PROCESS),
        _Instruction(_LOAD_WORD, 0, 0, _NUMBER_AT),
    ]
    # Jumps count instructions: past the remaining comparisons and the refusal, to the last one. x32's numbers match none.
    body += [_Instruction(_JUMP_IF_EQUAL, len(numbers) - index, 0, number) for index, number in enumerate(numbers)]
    body += [_Instruction(_RETURN, 0, 0, _ERROR_EPERM), _Instruction(_RETURN, 0, 0, _ALLOW)]
    return (_Instruction * len(body))(*body)
