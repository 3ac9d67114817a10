"""A real browser, a real server, and pages that may neither complain nor ask anybody else."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.browser import folders
from tests.conftest import ROOT

IS_DEMANDED = os.environ.get("CI") == "1" or os.environ.get("PRELA_REQUIRE_BROWSER") == "1"
WORDS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MAIN = "from prela.cli import main; main()"
SERVE = ["serve", "--no-open", "--no-receive", "--port", "0"]


def expect(what: Any) -> Any:
    """Playwright's own, which waits until it is so; imported late, since it may not be there.

    What an action leads to is asked for by this, or waited for by its element: pages draw after the event, answers come
    later still, and `page.url` is told by a message of its own.
    """
    from playwright import sync_api

    sync_api.expect.set_options(timeout=30_000)  # as long as an action may take; 5 s are too few beside other work
    return sync_api.expect(what)


def _missing(what: str) -> None:
    if IS_DEMANDED:
        pytest.fail(f"{what}, and this run demands a browser")
    pytest.skip(f"THE PAGES ARE NOT TESTED: {what}")


def chromium() -> str | None:
    """Where the browser is, if there is one."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """Debian's Chromium. It ends with these tests: an event loop runs beside it, and others want one of their own."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        _missing("playwright is not installed (pip install playwright)")
    path = chromium()
    if path is None:
        _missing("no chromium on the PATH (apt-get install chromium)")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=WORDS)
        yield found
        found.close()


@contextmanager
def serving(folder: Path, *, source: str = MAIN, waits: bool = True) -> Iterator[str]:
    """`prela serve` over a folder: where it is, and, if it is to be waited for, once it has read what there is."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PRELA_", "OTEL_"))}
    command = [sys.executable, "-c", source, *SERVE, "--trace-dir", str(folder)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, env={**clean, "PYTHONPATH": "."}
    ) as server:
        assert server.stdout is not None
        said: list[str] = []
        try:
            for line in server.stdout:
                said.append(line)
                if found := re.search(r"http://[\w.:\[\]]+", line):
                    break
            else:
                raise AssertionError("the server said: " + "".join(said))
            if waits:
                _wait_for_index(found[0], any(folder.glob("*.jsonl")))
            yield found[0]
        finally:
            server.terminate()
            server.stdout.read()


def _wait_for_index(base: str, has_traces: bool) -> None:
    """Until the server has read what there is: before, it answers at once, with what it has."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"{base}/api/status") as response:
            status = json.load(response)
        if status["indexing"] is None and (status["spans"] or not has_traces):
            return
    raise AssertionError(f"the folder has not been read: {status}")


@pytest.fixture(scope="package")
def site(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server over everything there is to look at."""
    folder = tmp_path_factory.mktemp("traces")
    folders.fill(folder)
    with serving(folder) as base:
        yield base


OpenPage = Callable[..., Any]


@pytest.fixture
def open_page(browser: Any) -> Iterator[OpenPage]:
    """Opens an address in a fresh profile. Its complaints, and asking anybody else, fail the test at its end."""
    contexts: list[Any] = []
    complaints: list[str] = []

    def open_(address: str, *, width: int = 1280, height: int = 800, may_complain: str = "\0", **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        host = urlsplit(address).netloc

        def heard(kind: str, text: str) -> None:
            if may_complain not in text:
                complaints.append(f"{kind}: {text}")

        def asked(request: Any) -> None:
            if urlsplit(request.url).netloc != host and not request.url.startswith(("data:", "blob:")):
                complaints.append(f"asked elsewhere: {request.url}")

        page.on("console", lambda message: message.type in ("error", "warning") and heard(message.type, message.text))
        page.on("pageerror", lambda error: heard("page error", str(error)))
        page.on("dialog", lambda dialog: (heard("dialog", dialog.message), dialog.dismiss()))
        page.on("request", asked)
        page.goto(address)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture(scope="session")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots are kept: the folder that PRELA_ARTEFACTS names, or pytest's own."""
    named = os.environ.get("PRELA_ARTEFACTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
