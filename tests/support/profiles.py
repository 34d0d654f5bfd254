"""Made-up profiles: like real ones in shape and size, the same for the same arguments."""

import random

from perfprofile_agent.pprof.model import Function, Label, Line, Location, Mapping, Profile, Sample, ValueType

PROGRAM = [
    "main", "net/http.(*conn).serve", "net/http.HandlerFunc.ServeHTTP", "shop/checkout.(*Server).Pay", "shop/checkout.total",
    "encoding/json.Marshal", "encoding/json.(*encodeState).reflectValue", "runtime.mallocgc", "runtime.scanobject", "std::vector<Order>::push_back",
    "shop::pricing::discount", "sha256_block_data_order", "memcpy", "regexp.(*Regexp).doExecute", "database/sql.(*DB).query", "compress/flate.(*compressor).deflate",
]  # fmt: skip
SYSTEM = ["entry_SYSCALL_64_after_hwframe", "do_syscall_64", "ksys_write", "tcp_sendmsg", "__tcp_transmit_skb", "ip_queue_xmit", "clear_page_erms", "copy_user_generic"]  # fmt: skip


def profile(
    *,
    namespace: str = "shop",
    node: str = "node-1",
    samples: int = 200,
    seed: int = 1,
    pods: int = 3,
    functions: int = 200,
    depth: int = 24,
    names: tuple[str, ...] = (),
) -> Profile:
    """A profile of one node's CPU time; ``names`` are put among the functions."""
    rng = random.Random(seed)
    own = [*names, *PROGRAM, *(f"shop/internal/module{index % 17}.(*Type{index % 29}).Method{index}" for index in range(functions))]
    every = [*own, *SYSTEM]
    mappings = (
        Mapping(0x400000, 0x900000, 0, "/app/bin/checkout", "aa11", True),
        Mapping(0, 0xFFFF, 0, "[kernel.kallsyms]", "", True),
    )
    locations = tuple(
        Location(0 if index < len(own) else 1, 0x400000 + index * 64 if index < len(own) else 0, (Line(index),))
        for index in range(len(every))
    )
    made = tuple(
        _sample(rng, len(own), len(SYSTEM), namespace=namespace, node=node, pods=pods, depth=depth, first=index) for index in range(samples)
    )
    return Profile(
        sample_types=(ValueType("samples", "count"), ValueType("cpu", "nanoseconds")),
        samples=made,
        mappings=mappings,
        locations=locations,
        functions=tuple(Function(name, name, "") for name in every),
        default_sample_type="cpu",
        time_nanos=1_700_000_000_000_000_000,
        duration_nanos=30_000_000_000,
        period_type=ValueType("cpu", "nanoseconds"),
        period=10_101_010,
        comments=("perf version 6.1",),
    )


def _sample(rng: random.Random, own: int, system: int, *, namespace: str, node: str, pods: int, depth: int, first: int) -> Sample:
    stack, at = [0], first if first < own else 0
    while len(stack) < depth and rng.random() < 0.94:
        # A function calls few others, and one of them mostly: that makes wide branches and thin ones, as in real programs.
        at = (at * 7 + 1 + int(4 * rng.random() ** 3)) % own
        stack.append(at)
    if rng.random() < 0.3:
        stack += [own + step for step in range(rng.randrange(2, system))]
    count = rng.randrange(1, 4)
    pod = rng.randrange(pods)
    labels = (
        Label("namespace", namespace),
        Label("pod", f"checkout-{pod}"),
        Label("container", "app" if pod else "proxy"),
        Label("node", node),
        Label("comm", "checkout"),
    )
    return Sample(tuple(reversed(stack)), (count, count * 10_101_010), labels)
