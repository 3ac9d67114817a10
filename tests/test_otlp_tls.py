"""OTLP over TLS, to a real server on loopback: whom the exporter trusts, who it says it is, and by way of a proxy."""

import logging
import ssl
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme

import prela
from prela.aio.exporter import RetryableExportError
from prela.aio.exporters.otlp import OtlpExporter
from prela.aio.exporters.otlp.connection import UntrustedServerError
from prela.core import log
from prela.testing.otlp_collector import Collector
from tests.traces import record

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path) -> str:
    """A file with the authority's certificate."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


async def export(endpoint: str, **options: Any) -> None:
    exporter = OtlpExporter(endpoint, **options)
    try:
        await exporter.export([record("sent", span_id="1" * 16)])
    finally:
        await exporter.aclose()


async def test_a_server_is_trusted_by_the_certificate_that_is_named(tls: ssl.SSLContext, trusted: str) -> None:
    with Collector(tls=tls) as collector:
        assert collector.endpoint.startswith("https:")
        await export(collector.endpoint, certificate=trusted)
    assert [found.name for found in collector.records] == ["sent"]
    assert collector.faults == []


async def test_the_variables_name_the_certificates(
    tls: ssl.SSLContext, trusted: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with Collector(tls=tls) as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", collector.endpoint)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", trusted)
        async with prela.aio.open_tracer("test", "otlp") as tracer:
            with tracer.span("sent"):
                pass
    assert [found.name for found in collector.records] == ["sent"]


async def test_a_server_that_is_not_trusted_gets_nothing_and_is_not_asked_again(
    tls: ssl.SSLContext, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "_told", set())  # it may have been told in another test
    before = prela.statistics().dropped.get("export_failed", 0)
    with Collector(tls=tls) as collector:
        with pytest.raises(UntrustedServerError, match="certificate"):
            await export(collector.endpoint)
        with caplog.at_level(logging.WARNING, "prela"):
            async with prela.aio.open_tracer("test", OtlpExporter(collector.endpoint)) as tracer:
                with tracer.span("lost"):
                    pass
                assert await prela.flush() is False
                assert prela.statistics().dropped["export_failed"] == before + 1
    assert collector.requests == []
    assert any("certificate" in line.getMessage() for line in caplog.records)


async def test_a_certificate_for_another_host_is_not_trusted(authority: trustme.CA, trusted: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("collector.example").configure_cert(context)
    with Collector(tls=context) as collector:
        with pytest.raises(UntrustedServerError, match=r"127\.0\.0\.1"):
            await export(collector.endpoint, certificate=trusted)
    assert collector.requests == []


@pytest.mark.parametrize("apart", [True, False], ids=["key apart", "key in the same file"])
async def test_a_client_says_who_it_is(
    tls: ssl.SSLContext, authority: trustme.CA, trusted: str, tmp_path: Path, apart: bool
) -> None:
    tls.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(tls)
    mine = authority.issue_cert("client.example")
    certificate, key = tmp_path / "client.pem", tmp_path / "client.key"
    for blob in mine.cert_chain_pems:
        blob.write_to_path(certificate, append=True)
    mine.private_key_pem.write_to_path(key if apart else certificate, append=True)
    with Collector(tls=tls) as collector:
        with pytest.raises(RetryableExportError):
            await export(collector.endpoint, certificate=trusted)
        assert collector.records == []
        await export(
            collector.endpoint,
            certificate=trusted,
            client_certificate=str(certificate),
            client_key=str(key) if apart else None,
        )
    assert [found.name for found in collector.records] == ["sent"]


async def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with Collector() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        await export("http://collector.invalid/v1/traces")
        assert [found.name for found in proxy.records] == ["sent"]
        monkeypatch.setenv("NO_PROXY", "collector.invalid")
        with pytest.raises(RetryableExportError), anyio.fail_after(30):
            await export("http://collector.invalid/v1/traces", timeout=5)
    assert len(proxy.requests) == 1


async def test_a_name_and_a_password_in_the_url_are_sent_as_authorization() -> None:
    with Collector() as collector:
        await export(collector.endpoint.replace("//", "//me%40home:p%3Aw@"))
        await export(collector.endpoint)
    first, second = collector.requests
    assert first.headers["authorization"] == "Basic bWVAaG9tZTpwOnc="  # me@home:p:w
    assert "authorization" not in second.headers
