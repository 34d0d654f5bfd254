"""The Go programs of the test cluster: built from the pinned modules in binaries/, cached by what they are made from.

The order matters on a fresh machine: what the images need is built first, in seconds; everything the cluster itself needs is one
`go build`, so that both cores stay busy to the end and nothing is compiled twice; helm, which only the chart's tests need, is built when it
is first asked for. Measured on CoreDNS with empty caches, CPU time: 275 s as is, 216 s with the compiler collecting garbage less often, 183 s
if it makes no debug information as well, which is stripped anyway. Without inlining a quarter less again (client-go: 164 s and 123 s), and nothing
here runs long enough to earn that back.
"""

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cluster.commands import run
from cluster.layout import CACHE, HERE
from cluster.steps import step

SOURCE = HERE / "binaries"
KUBERNETES = "v1.34.2"
NAMES_OF_KUBE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet")
WORKLOAD = "perfprofile.dev/testcluster/encoder"
"""The one that keeps its symbols: it is there to be profiled."""
GIB = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Group:
    """Programs that are built in one go: the packages' paths and how long an idle 2-core machine takes."""

    packages: tuple[str, ...]
    about: str

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the executables."""
        return tuple(package.rpartition("/")[2] for package in self.packages)


SMALL = Group(packages=("./pause", "./encoder"), about="10 s")
CLUSTER = Group(packages=("./kube", "./coredns", "github.com/google/pprof"), about="5 min, all other steps run meanwhile")
CHART = Group(packages=("helm.sh/helm/v3/cmd/helm",), about="1 to 2 min")


@cache
def directory() -> Path:
    """Where the programs of this source and this compiler are, built or not."""
    digest = hashlib.sha256(run("go", "env", "GOVERSION", "GOARCH", cwd=SOURCE).encode())
    for file in sorted(path for path in SOURCE.rglob("*") if path.suffix in {".go", ".mod", ".sum"}):
        digest.update(file.relative_to(SOURCE).as_posix().encode() + file.read_bytes())
    return CACHE / "programs" / digest.hexdigest()[:16]


def path(name: str) -> Path:
    """Give the place of a program by its name, kubectl for example."""
    return directory() / name


def ensure(group: Group = CLUSTER) -> Path:
    """Build what isn't there yet and give the directory of all programs."""
    wanted = [package for package, name in zip(group.packages, group.names, strict=True) if not path(name).exists()]
    if wanted:
        with step(f"compiling {', '.join(package.rpartition('/')[2] for package in wanted)}", group.about):
            _build(wanted)
    return directory()


def _build(packages: list[str]) -> None:
    target = directory()
    target.mkdir(parents=True, exist_ok=True)
    # A directory for each call: two groups are built side by side.
    unfinished = Path(tempfile.mkdtemp(prefix=f"{target.name}.unfinished-", dir=target.parent))
    version = "k8s.io/component-base/version"
    versions = f"-X {version}.gitVersion={KUBERNETES} -X {version}.gitMajor=1 -X {version}.gitMinor=34"
    flags = ["-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false -l", f"-ldflags=-s -w {versions}", f"-ldflags={WORKLOAD}="]
    try:
        run(
            *("go", "build", *flags, "-o", f"{unfinished}/", *packages),
            cwd=SOURCE,
            env={"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", **_less_collecting()},
            log=target.with_name(f"{target.name}-{packages[0].rpartition('/')[2]}.log"),
        )
        for program in unfinished.iterdir():
            program.replace(target / program.name)
        if "./kube" in packages:
            _link_names(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _link_names(target: Path) -> None:
    """The Kubernetes programs are one executable that goes by the name it is called with."""
    for name in NAMES_OF_KUBE:
        link = target / name
        if not link.is_symlink():
            link.symlink_to("kube")


def _less_collecting() -> dict[str, str]:
    """Let the compiler collect garbage less often where memory allows it."""
    available = next(
        int(line.split()[1]) * 1024 for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable")
    )
    return {"GOGC": "400"} if available > 6 * GIB else {}
