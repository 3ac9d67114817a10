"""Virtual environments for programs that cannot live in ours: made once, and found again by the next run."""

import fcntl
import os
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from socket import socket
from types import MappingProxyType
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

FOLDER = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "prela-tests"


def large_environment(package: str) -> Path:
    """The folder of an environment of some hundreds of megabytes, which is made only where it is asked for."""
    wanted = os.environ.get("PRELA_BACKENDS")
    if wanted != "1" and not (wanted == "installed" and (_folder(package) / "complete").exists()):
        pytest.skip(f"{package} is large: PRELA_BACKENDS=1 python -m pytest tests/backends")
    return environment(package)


def _folder(package: str) -> Path:
    return FOLDER / f"{package}-{sys.version_info.major}.{sys.version_info.minor}"


def environment(package: str) -> Path:
    """The folder of an environment in which a package is installed; skips the test where it cannot be."""
    folder = _folder(package)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes
        if not (folder / "complete").exists():
            venv.create(folder, with_pip=True, clear=True)
            done = subprocess.run(
                [folder / "bin" / "python", "-m", "pip", "install", "-q", package], capture_output=True, text=True
            )
            if done.returncode:
                pytest.skip(f"{package} cannot be installed: {done.stderr.strip().splitlines()[-1]}")
            (folder / "complete").touch()
    return folder


def free_port() -> int:
    with socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextmanager
def running(
    command: list[str | Path], url: str, log: Path, variables: Mapping[str, str | Path] = MappingProxyType({})
) -> Iterator[None]:
    """A program that runs for a block, which begins when it answers at a URL."""
    with log.open("wb") as output:
        # rotel's binary is linked against the library of the interpreter that it was built for.
        whole = {**os.environ, "LD_LIBRARY_PATH": str(sysconfig.get_config_var("LIBDIR")), **variables}
        program = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=log.parent, env=whole)
    try:
        deadline = time.monotonic() + 60
        while not _answers(url):
            assert program.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield
    finally:
        program.terminate()
        program.wait(timeout=10)


@contextmanager
def collector(folder: Path, options: Mapping[str, str]) -> Iterator[str]:
    """The URL of a rotel collector, with these options of its own for what it exports to."""
    (program,) = environment("rotel").glob("lib/python*/site-packages/rotel/rotel-agent")
    address = f"127.0.0.1:{free_port()}"
    command: list[str | Path] = [program, "start"]
    for name, value in {
        "otlp-http-endpoint": address,
        "otlp-grpc-endpoint": f"127.0.0.1:{free_port()}",
        "pid-file": folder / "rotel.pid",
        "log-file": folder / "rotel.log",
        **options,
    }.items():
        command += [f"--{name}", str(value)]
    with running(command, f"http://{address}/", folder / "rotel.out"):
        yield f"http://{address}"


def _answers(url: str) -> bool:
    try:
        urlopen(Request(url), timeout=5).close()
    except URLError as error:
        return hasattr(error, "code")  # an HTTP error is an answer too
    except OSError:
        return False
    return True
