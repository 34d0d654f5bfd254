"""Numbers of the format, as tables.

Sources: include/uapi/linux/perf_event.h of the kernel (records up to 63, sample bits, misc bits, callchain contexts) and
tools/perf/Documentation/perf.data-file-format.txt with tools/lib/perf/include/perf/event.h (records from 64 on, features).
"""

import struct
from enum import IntEnum, IntFlag
from typing import Final

MAGIC: Final = b"PERFILE2"
MAGIC_BIG_ENDIAN: Final = b"2ELIFREP"
MAGIC_OLD: Final = b"PERFFILE"
PIPE_HEADER_SIZE: Final = 16
FILE_HEADER: Final = struct.Struct("<8sQQQQQQQQ4Q")
"""magic, size, attr_size, attrs (offset, size), data (offset, size), event_types (offset, size), 256 feature bits."""

RECORD_HEADER: Final = struct.Struct("<IHH")
"""type, misc, size with these eight bytes."""
U32: Final = struct.Struct("<I")
U64: Final = struct.Struct("<Q")
SECTION: Final = struct.Struct("<QQ")
"""perf_file_section: offset, size."""


class Kind(IntEnum):
    """Types of records. Only those named here are looked at; others are skipped and counted."""

    MMAP = 1
    LOST = 2
    COMM = 3
    EXIT = 4
    THROTTLE = 5
    UNTHROTTLE = 6
    FORK = 7
    READ = 8
    SAMPLE = 9
    MMAP2 = 10
    AUX = 11
    ITRACE_START = 12
    LOST_SAMPLES = 13
    SWITCH = 14
    SWITCH_CPU_WIDE = 15
    NAMESPACES = 16
    KSYMBOL = 17
    BPF_EVENT = 18
    CGROUP = 19
    TEXT_POKE = 20
    AUX_OUTPUT_HW_ID = 21
    CALLCHAIN_DEFERRED = 22

    HEADER_ATTR = 64
    HEADER_EVENT_TYPE = 65
    HEADER_TRACING_DATA = 66
    HEADER_BUILD_ID = 67
    FINISHED_ROUND = 68
    ID_INDEX = 69
    AUXTRACE_INFO = 70
    AUXTRACE = 71
    AUXTRACE_ERROR = 72
    THREAD_MAP = 73
    CPU_MAP = 74
    STAT_CONFIG = 75
    STAT = 76
    STAT_ROUND = 77
    EVENT_UPDATE = 78
    TIME_CONV = 79
    HEADER_FEATURE = 80
    COMPRESSED = 81
    FINISHED_INIT = 82
    COMPRESSED2 = 83


FIRST_TOOL_KIND: Final = 64
"""Records from here on are perf's own: they carry no sample_id trailer and no time."""

MEANINGLESS: Final = frozenset(
    {
        Kind.UNTHROTTLE,
        Kind.READ,
        Kind.AUX,
        Kind.ITRACE_START,
        Kind.SWITCH,
        Kind.SWITCH_CPU_WIDE,
        Kind.BPF_EVENT,
        Kind.TEXT_POKE,
        Kind.AUX_OUTPUT_HW_ID,
        Kind.HEADER_EVENT_TYPE,
        Kind.HEADER_TRACING_DATA,
        Kind.ID_INDEX,
        Kind.AUXTRACE_INFO,
        Kind.AUXTRACE,
        Kind.AUXTRACE_ERROR,
        Kind.THREAD_MAP,
        Kind.CPU_MAP,
        Kind.STAT_CONFIG,
        Kind.STAT,
        Kind.STAT_ROUND,
        Kind.TIME_CONV,
        Kind.FINISHED_INIT,
    }
)
"""Known, and without bearing on a profile of samples."""


class SampleBit(IntFlag):
    """What a sample carries (perf_event_attr.sample_type), in numerical order; the order in the record is that of ``samples``."""

    IP = 1 << 0
    TID = 1 << 1
    TIME = 1 << 2
    ADDR = 1 << 3
    READ = 1 << 4
    CALLCHAIN = 1 << 5
    ID = 1 << 6
    CPU = 1 << 7
    PERIOD = 1 << 8
    STREAM_ID = 1 << 9
    RAW = 1 << 10
    BRANCH_STACK = 1 << 11
    REGS_USER = 1 << 12
    STACK_USER = 1 << 13
    WEIGHT = 1 << 14
    DATA_SRC = 1 << 15
    IDENTIFIER = 1 << 16
    TRANSACTION = 1 << 17
    REGS_INTR = 1 << 18
    PHYS_ADDR = 1 << 19
    AUX = 1 << 20
    CGROUP = 1 << 21
    DATA_PAGE_SIZE = 1 << 22
    CODE_PAGE_SIZE = 1 << 23
    WEIGHT_STRUCT = 1 << 24


KNOWN_SAMPLE_BITS: Final = (1 << 25) - 1


class ReadBit(IntFlag):
    """What a counter value read with a sample looks like (perf_event_attr.read_format)."""

    TOTAL_TIME_ENABLED = 1 << 0
    TOTAL_TIME_RUNNING = 1 << 1
    ID = 1 << 2
    GROUP = 1 << 3
    LOST = 1 << 4


BRANCH_HW_INDEX: Final = 1 << 17
BRANCH_COUNTERS: Final = 1 << 19
"""Bits of perf_event_attr.branch_sample_type that change the layout of a branch stack."""


class AttrFlag(IntFlag):
    """Bits of the flag word of perf_event_attr that matter here."""

    FREQ = 1 << 10
    SAMPLE_ID_ALL = 1 << 18


# misc of a record header
CPUMODE_MASK: Final = 7
CPUMODE_KERNEL: Final = 1
CPUMODE_USER: Final = 2
CPUMODE_HYPERVISOR: Final = 3
CPUMODE_GUEST_KERNEL: Final = 4
CPUMODE_GUEST_USER: Final = 5
MISC_MMAP_DATA: Final = 1 << 13
MISC_COMM_EXEC: Final = 1 << 13
MISC_FORK_SYNTHESIZED: Final = 1 << 13
"""perf sets it on FORK records it makes itself for processes that ran before: their mappings follow, the parent's don't apply."""
MISC_MMAP_BUILD_ID: Final = 1 << 14
MISC_LOST_BY_BPF: Final = 1 << 15
"""On LOST_SAMPLES: samples that a BPF filter refused on purpose."""

# Entries of a callchain from here on are no addresses but say whose addresses follow.
CONTEXT_MAX: Final = 2**64 - 4095
CONTEXT_HYPERVISOR: Final = 2**64 - 32
CONTEXT_KERNEL: Final = 2**64 - 128
CONTEXT_USER: Final = 2**64 - 512
CONTEXT_USER_DEFERRED: Final = 2**64 - 640
CONTEXT_GUEST: Final = 2**64 - 2048
CONTEXT_GUEST_KERNEL: Final = 2**64 - 2176
CONTEXT_GUEST_USER: Final = 2**64 - 2560

PROT_EXEC: Final = 4


class Feature(IntEnum):
    """Optional sections of a perf.data header (HEADER_* in tools/perf/util/header.h)."""

    TRACING_DATA = 1
    BUILD_ID = 2
    HOSTNAME = 3
    OSRELEASE = 4
    VERSION = 5
    ARCH = 6
    NRCPUS = 7
    CPUDESC = 8
    CPUID = 9
    TOTAL_MEM = 10
    CMDLINE = 11
    EVENT_DESC = 12
    CPU_TOPOLOGY = 13
    NUMA_TOPOLOGY = 14
    BRANCH_STACK = 15
    PMU_MAPPINGS = 16
    GROUP_DESC = 17
    AUXTRACE = 18
    STAT = 19
    CACHE = 20
    SAMPLE_TIME = 21
    MEM_TOPOLOGY = 22
    CLOCKID = 23
    DIR_FORMAT = 24
    BPF_PROG_INFO = 25
    BPF_BTF = 26
    COMPRESSED = 27
    CPU_PMU_CAPS = 28
    CLOCK_DATA = 29
    HYBRID_TOPOLOGY = 30
    PMU_CAPS = 31


class EventType(IntEnum):
    """perf_event_attr.type of the kernel's own kinds of events."""

    HARDWARE = 0
    SOFTWARE = 1
    TRACEPOINT = 2
    HW_CACHE = 3
    RAW = 4
    BREAKPOINT = 5


HARDWARE_NAMES: Final = (
    "cycles",
    "instructions",
    "cache-references",
    "cache-misses",
    "branches",
    "branch-misses",
    "bus-cycles",
    "stalled-cycles-frontend",
    "stalled-cycles-backend",
    "ref-cycles",
)
"""By perf_event_attr.config, as perf names them."""
SOFTWARE_NAMES: Final = (
    "cpu-clock",
    "task-clock",
    "page-faults",
    "context-switches",
    "cpu-migrations",
    "minor-faults",
    "major-faults",
    "alignment-faults",
    "emulation-faults",
    "dummy",
    "bpf-output",
    "cgroup-switches",
)
SOFTWARE_DUMMY: Final = 9
SOFTWARE_CLOCKS: Final = frozenset({0, 1})
