"""Opening what a container put in the way."""

import os
import socket
from contextlib import contextmanager
from pathlib import Path

import pytest

from perfprofile_agent.node import beneath
from perfprofile_agent.node.beneath import FileMissingError, FileRefusedError, identity, open_regular_beneath, open_regular_link

SECRET = b"the agent's token"


@contextmanager
def handle(path):
    """A handle of a directory, as an agent has one of a container's root."""
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


@pytest.fixture
def root(tmp_path):
    """A container's root, beside a file of the agent's that must not be read."""
    (tmp_path / "token").write_bytes(SECRET)
    folder = tmp_path / "root"
    (folder / "usr/lib").mkdir(parents=True)
    (folder / "usr/lib/real.so").write_bytes(b"a library")
    return folder


def read_beneath(root, path, **options):
    with handle(root) as fd:
        opened = open_regular_beneath(fd, path, **options)
        try:
            return os.read(opened, 100)
        finally:
            os.close(opened)


def test_a_regular_file_is_opened_and_not_inherited_by_children(root):
    with handle(root) as fd:
        opened = open_regular_beneath(fd, "/usr/lib/real.so")

    assert os.read(opened, 100) == b"a library"
    assert not os.get_inheritable(opened)
    os.close(opened)


@pytest.mark.parametrize("target", ["{outside}/token", "../token", "../../../../../../{outside}/token", "/../../token"])
def test_a_link_out_of_the_root_stays_within_it(root, target):
    (root / "usr/lib/evil.so").symlink_to(target.format(outside=root.parent))

    with pytest.raises(FileMissingError):
        read_beneath(root, "/usr/lib/evil.so")


def test_a_path_with_dots_stays_within_the_root(root):
    with pytest.raises(FileMissingError):
        read_beneath(root, "/../token")


def test_an_absolute_link_is_resolved_within_the_root(root):
    (root / "usr/lib/link.so").symlink_to("/usr/lib/real.so")

    assert read_beneath(root, "/usr/lib/link.so") == b"a library"


def test_a_folder_replaced_by_a_link_out_stays_within_the_root(root):
    (root / "opt").symlink_to(root.parent)

    with pytest.raises(FileMissingError):
        read_beneath(root, "/opt/token")


def test_a_magic_link_of_proc_is_not_followed():
    own = os.open(__file__, os.O_RDONLY)
    try:
        with pytest.raises(FileRefusedError):
            read_beneath("/", f"/proc/self/fd/{own}")
        with pytest.raises(FileRefusedError):
            read_beneath("/", "/proc/self/root/etc/passwd")
    finally:
        os.close(own)


def test_a_loop_of_links_ends_in_a_refusal(root):
    (root / "a.so").symlink_to("b.so")
    (root / "b.so").symlink_to("a.so")

    with pytest.raises(FileRefusedError):
        read_beneath(root, "/a.so")


def test_a_fifo_does_not_block_the_agent(root):
    os.mkfifo(root / "usr/lib/fifo.so")

    with pytest.raises(FileRefusedError, match="not a regular file"):
        read_beneath(root, "/usr/lib/fifo.so")


def test_a_socket_and_a_directory_are_refused(root):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "s"))

        for path in ("/s", "/usr/lib"):
            with pytest.raises(FileRefusedError, match="not a regular file"):
                read_beneath(root, path)


@pytest.mark.root
def test_a_device_is_refused_without_being_opened(root):
    if os.geteuid() != 0:
        pytest.skip("needs root to make a device: make test as root")
    os.mknod(root / "null", 0o600 | 0o020000, os.makedev(1, 3))

    with pytest.raises(FileRefusedError, match="not a regular file"):
        read_beneath(root, "/null")


def test_a_file_made_by_the_kernel_while_it_is_read_is_refused():
    with pytest.raises(FileRefusedError, match="procfs"):
        read_beneath("/proc", "/version")


def test_a_huge_sparse_file_is_refused(root):
    with (root / "huge").open("wb") as file:
        file.truncate(1 << 40)

    with pytest.raises(FileRefusedError, match="1099511627776 bytes"):
        read_beneath(root, "/huge")


def test_a_file_of_another_owner_is_refused_where_the_owner_matters(root):
    with pytest.raises(FileRefusedError, match="belongs to uid"):
        read_beneath(root, "/usr/lib/real.so", owner=os.getuid() + 1)

    assert read_beneath(root, "/usr/lib/real.so", owner=os.getuid()) == b"a library"


def test_a_path_with_a_nul_byte_is_refused(root):
    with pytest.raises(FileRefusedError, match="NUL"):
        read_beneath(root, "/usr/lib/real.so\0.txt")


def test_without_openat2_nothing_is_opened_and_the_kernel_is_named(root, monkeypatch):
    monkeypatch.setattr(beneath, "_OPENAT2", 100_000)  # a number of no system call

    with pytest.raises(FileRefusedError, match=r"no openat2; use Linux 5\.6"):
        read_beneath(root, "/usr/lib/real.so")


def test_the_link_of_proc_leads_to_the_file_itself():
    fd = open_regular_link("/proc/self/exe", "python")

    assert identity(fd).inode == Path("/proc/self/exe").stat().st_ino
    os.close(fd)


def test_a_link_of_a_process_that_has_gone_is_a_missing_file():
    with pytest.raises(FileMissingError):
        open_regular_link("/proc/0/exe", "program")
