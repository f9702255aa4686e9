"""Programs that tests drive and that pip does not install: found, brought, or named as missing.

A program on `PATH` is used as it is. On Debian one that is missing is taken from its package, which is unpacked into
the cache of the checkout and not installed, so that no test run changes the machine; failing at that fails the
test. Elsewhere the test is skipped and says what is missing.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

CACHE = Path(__file__).resolve().parents[2] / ".nox" / "debian"

KUBECTL_VARIABLE = "HK_TEST_KUBECTL"
"""A path, or several separated as in PATH: the kubectls to test with, and no others."""


@functools.cache
def kubectl() -> list[Path]:
    """Every kubectl there is, newest first, one a minor version; never empty."""
    chosen = os.environ.get(KUBECTL_VARIABLE)
    candidates = [Path(path) for path in chosen.split(os.pathsep)] if chosen else _kubectls_on_path()
    found: dict[tuple[int, int], Path] = {}
    for candidate in candidates:
        found.setdefault(kubectl_version(candidate), candidate)
    if not found:
        brought = _bring("kubectl", "kubernetes-client", packages=("kubernetes-client",))
        found[kubectl_version(brought)] = brought
    return [found[version] for version in sorted(found, reverse=True)]


@functools.cache
def strace() -> Path:
    on_path = shutil.which("strace")
    if on_path:
        return Path(on_path)
    if platform.system() != "Linux":
        pytest.skip("strace is missing: it runs on Linux only")
    return _bring("strace", "strace", packages=("strace", "libunwind8"))


@functools.cache
def nft() -> Path:
    """The program that programs nftables."""
    on_path = shutil.which("nft") or shutil.which("nft", path="/usr/sbin:/sbin")
    if on_path:
        return Path(on_path)
    if platform.system() != "Linux":
        pytest.skip("nft is missing: it runs on Linux only")
    packages = ("nftables", "libnftables1", "libnftnl11", "libmnl0", "libjansson4", "libedit2", "libbsd0", "libmd0")
    return _bring("nft", "nftables", packages=(*packages, "libgmp10", "libxtables12"), at="usr/sbin/nft")


@functools.cache
def containerd() -> Path:
    """The folder of containerd, its shim and `ctr`."""
    return _programs("containerd", "containerd", ("containerd", "libseccomp2"), beside=("ctr",)).parent


@functools.cache
def runc() -> Path:
    return _programs("runc", "runc", ("runc", "libseccomp2"), at="usr/sbin/runc")


@functools.cache
def cni_plugins() -> Path:
    """The folder of the plugins that make networks: bridge, host-local, portmap, loopback."""
    installed = Path("/usr/lib/cni")
    if (installed / "bridge").exists():
        return installed
    package = "containernetworking-plugins"
    _bring("host-local", package, packages=(package,), at="usr/lib/cni/host-local")
    return CACHE / "host-local" / "usr" / "lib" / "cni"


@functools.cache
def iptables() -> Path:
    """What the plugins of Debian's containernetworking-plugins program host ports and masquerading with."""
    libraries = ("libip4tc2", "libip6tc2", "libxtables12", "libmnl0", "libnfnetlink0", "libnftnl11")
    packages = ("iptables", *libraries, "libnetfilter-conntrack3")
    found = _programs("iptables", "iptables", packages, at="usr/sbin/iptables-nft")
    if CACHE in found.parents:
        for name in ("iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"):
            family, dash, rest = name.partition("-")
            wrapper = found.with_name(name)
            wrapper.write_text(found.read_text().replace("iptables-nft", f"{family}-nft{dash}{rest}"))
            wrapper.chmod(0o755)
    return found


@functools.cache
def conntrack() -> Path:
    """The program that shows and forgets connections that the kernel tracks."""
    packages = ("conntrack", "libmnl0", "libnetfilter-conntrack3", "libnfnetlink0")
    return _programs("conntrack", "conntrack", packages, at="usr/sbin/conntrack")


@functools.cache
def docker_registry() -> Path:
    """A registry of images."""
    return _programs("docker-registry", "docker-registry", ("docker-registry",))


def _programs(
    program: str, package: str, packages: tuple[str, ...], *, at: str = "", beside: tuple[str, ...] = ()
) -> Path:
    """`program` as the system has it, with those `beside` it, else as `_bring` does."""
    on_path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if on_path and all((Path(on_path).parent / name).exists() for name in beside):
        return Path(on_path)
    if platform.system() != "Linux":
        pytest.skip(f"{program} is missing: it runs on Linux only")
    brought = _bring(program, package, packages=packages, at=at)
    if beside:  # what is started from beside it is where its package has it
        return CACHE / program / "usr" / "bin" / program
    return brought


@functools.cache
def busybox() -> Path:
    """A BusyBox that needs no library: all that is in an image made by the tests."""
    on_path = shutil.which("busybox")
    if on_path and _is_static(on_path):
        return Path(on_path)
    if platform.system() != "Linux":
        pytest.skip("busybox is missing: images are for Linux only")
    _bring("busybox", "busybox-static", packages=("busybox-static",), at="bin/busybox")
    return CACHE / "busybox" / "bin" / "busybox"


def _is_static(program: str) -> bool:
    """Whether an ELF file asks for no loader: no program header of the type PT_INTERP."""
    data = Path(program).read_bytes()
    if data[:5] != b"\x7fELF\x02":
        return False
    offset, size, count = int.from_bytes(data[32:40], "little"), *struct.unpack_from("<HH", data, 54)
    return all(int.from_bytes(data[at : at + 4], "little") != 3 for at in range(offset, offset + size * count, size))


@functools.cache
def kubectl_version(program: Path) -> tuple[int, int]:
    """Its own (major, minor)."""
    answer = subprocess.run(
        [program, "version", "--client", "-o", "json"], capture_output=True, check=True, timeout=60, text=True
    )
    version = json.loads(answer.stdout)["clientVersion"]
    return int(version["major"]), int(re.sub(r"\D", "", version["minor"]))


def _kubectls_on_path() -> list[Path]:
    """Each `kubectl` and, beside it, each `kubectl.1.33`.

    Google's `kubectl` only picks one of the latter by the server it finds, so that it is left out where it has them.
    """
    first = shutil.which("kubectl")
    if not first:
        return []
    numbered = [
        path for path in Path(first).resolve().parent.glob("kubectl.*") if re.fullmatch(r"kubectl\.\d+\.\d+", path.name)
    ]
    return numbered or [Path(first)]


def _bring(program: str, package: str, *, packages: tuple[str, ...], at: str = "") -> Path:
    """Unpack `packages` and return the path of `program`; skips where apt is not at hand, fails where it fails.

    `at` is where it lies among what was unpacked, if not in `usr/bin`.
    """
    if not _on_debian():
        pytest.skip(f"{program} is missing: install it, on Debian by `apt-get install {package}`")
    unpacked = CACHE / program
    wrapper = unpacked / program
    if not wrapper.exists():
        try:
            _unpack(packages, program, unpacked, at or f"usr/bin/{program}")
        except subprocess.CalledProcessError as exc:
            message = exc.stderr.decode(errors="replace").strip()
            pytest.fail(f"{program} is missing and `{' '.join(exc.cmd)}` failed: {message}", pytrace=False)
    return wrapper


def sdist(name: str, version: str) -> Path:
    """What the source distribution of a Python project holds beside what pip installs, unpacked."""
    unpacked = CACHE / f"{name}-{version}"
    if not unpacked.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            download = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps")
            try:
                _run(*download, "--no-binary=:all:", f"{name}=={version}", cwd=folder)
            except subprocess.CalledProcessError as exc:
                message = exc.stderr.decode(errors="replace").strip()
                pytest.fail(f"{' '.join(exc.cmd)} failed: {message}", pytrace=False)
            (archive,) = Path(folder).glob("*.tar.gz")
            _run("tar", "-xzf", str(archive), cwd=folder)
            try:
                (Path(folder) / unpacked.name).rename(unpacked)
            except OSError:  # another run was quicker; its copy is as good
                if not unpacked.exists():
                    raise
    return unpacked


def _on_debian() -> bool:
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return False
    return release.get("ID") == "debian" and shutil.which("apt-get") is not None


def _unpack(packages: tuple[str, ...], program: str, target: Path, at: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        root = Path(folder) / "root"
        try:
            _run("apt-get", "download", *packages, cwd=folder)
        except subprocess.CalledProcessError:  # a fresh machine has no list of packages yet
            _run("apt-get", "update", cwd=folder)
            _run("apt-get", "download", *packages, cwd=folder)
        for archive in Path(folder).glob("*.deb"):
            _run("dpkg-deb", "-x", str(archive), str(root), cwd=folder)
        root.chmod(0o755)
        wrapper = root / program
        # The libraries are unpacked beside the program, where the loader does not look by itself; all can be copied.
        wrapper.write_text(
            '#!/bin/sh\nhere=$(dirname "$(readlink -f "$0")")\n'
            'libraries="$here/usr/lib/$(uname -m)-linux-gnu"\n'
            'export LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"\n'
            f'{_EXTENSIONS if "iptables" in packages else ""}exec "$here/{at}" "$@"\n'
        )
        wrapper.chmod(0o755)
        try:
            root.rename(target)
        except OSError:  # another run was quicker; its copy is as good
            if not (target / program).exists():
                raise


_EXTENSIONS = 'export XTABLES_LIBDIR="$libraries/xtables"\n'
"""Where iptables finds its matches and targets."""


def _run(*command: str, cwd: str) -> None:
    subprocess.run(command, cwd=cwd, check=True, capture_output=True, timeout=300)
