"""How this machine reaches package registries: what apt and pip are told here is told to them in image builds too.

Nothing of it is needed where the public registries can be reached; nothing of it stays in an image (the Dockerfile mounts it as secrets).
"""

import configparser
import os
import subprocess
from pathlib import Path

CA_IN_BUILD = "/etc/ssl/machine.crt"
PIP_OPTIONS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout")
PIP_FILES = (Path("/etc/pip.conf"), Path.home() / ".pip/pip.conf", Path.home() / ".config/pip/pip.conf")
APT_OPTIONS = ("Acquire::http::", "Acquire::https::", "Acquire::Check-")


def apt_conf() -> str:
    """Give the lines of an apt.conf with the machine's proxies and checks; empty if it has none."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False).stdout
    return "".join(f"{line}\n" for line in dump.splitlines() if line.startswith(APT_OPTIONS) and not line.endswith('"";'))


def pip_conf() -> str:
    """Give a pip.conf with the machine's index and proxy; its authorities are at `CA_IN_BUILD`. Empty if it has none."""
    options = {name: value for name in PIP_OPTIONS if (value := _pip_option(name))}
    if ca_bundle():
        options["cert"] = CA_IN_BUILD
    return "[global]\n" + "".join(f"{name} = {value}\n" for name, value in options.items()) if options else ""


def ca_bundle() -> Path | None:
    """Give the file of authorities that the machine names for pip; None if it names none."""
    named = _pip_option("cert") or os.environ.get("SSL_CERT_FILE") or os.environ.get("REQUESTS_CA_BUNDLE")
    return Path(named) if named and Path(named).is_file() else None


def _pip_option(name: str) -> str:
    """As pip does: the environment first, then the files, the user's after the machine's."""
    from_environment = os.environ.get(f"PIP_{name.upper().replace('-', '_')}", "")
    files = configparser.ConfigParser(interpolation=None)
    files.read([*PIP_FILES, *filter(None, [os.environ.get("PIP_CONFIG_FILE")])])
    return from_environment or files.get("install", name, fallback="") or files.get("global", name, fallback="")
