"""Who may ask the web view, and what every answer carries."""

from typing import Any

import pytest

pytest.importorskip("starlette", reason="the web view is an extra")

from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from prela.web.access import HEADERS, Access, Guard
from tests.web import HOST, ask

pytestmark = pytest.mark.anyio


async def inner(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("in")(scope, receive, send)


def guarded(**kwargs: Any) -> Guard:
    return Guard(inner, Access(4318, **kwargs))


@pytest.mark.parametrize("host", ["localhost:4318", "LOCALHOST:4318", "127.0.0.1:4318", "[::1]:4318"])
async def test_loopback_names_with_the_port_are_ours(host: str) -> None:
    assert (await ask(guarded(), "/", host=host)).status == 200


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "evil.example",
        "evil.example:4318",
        "localhost",
        "localhost:4319",
        "localhost:04318",
        "localhost:4318:4318",
        "localhost.evil.example:4318",
        "evil.example#localhost:4318",
        "user@localhost:4318",
        "127.0.0.1.evil.example:4318",
        "192.168.0.7:4318",
        "[::1%25lo]:4318",
        "[::1]evil:4318",
        "localhost:4318\x00",
        "localhost:4318 ",
        "ｌocalhost:4318".encode().decode("latin-1"),
    ],
)
@pytest.mark.parametrize("target", ["/", "/api/traces", "/static/app.js", "/v1/traces"])
async def test_a_rebound_or_missing_host_is_misdirected(host: str | None, target: str) -> None:
    answer = await ask(guarded(), target, host=host)
    assert answer.status == 421
    assert "error" in answer.json


async def test_two_hosts_are_none() -> None:
    assert (await ask(guarded(), "/", headers=[("host", HOST)])).status == 421


async def test_a_name_that_was_allowed_is_ours_at_its_port_or_at_any() -> None:
    app = guarded(names=["Traces.example", "other.example:8443"])
    for host, status in {
        "traces.example": 200,
        "traces.example:1": 200,
        "other.example:8443": 200,
        "other.example:8444": 421,
        "other.example": 421,
        "x.traces.example": 421,
    }.items():
        assert (await ask(app, "/", host=host)).status == status, host


async def test_where_it_listens_everywhere_addresses_are_ours_and_names_are_not() -> None:
    app = guarded(host="0.0.0.0")
    for host, status in {
        "192.168.0.7:4318": 200,
        "[fe80::1]:4318": 200,
        "localhost:4318": 200,
        "192.168.0.7:4319": 421,
        "192.168.0.7": 421,
        "evil.example:4318": 421,
        "127.1:4318": 421,
    }.items():
        assert (await ask(app, "/", host=host)).status == status, host


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "http://localhost:4319",
        "http://localhost",
        "https://127.0.0.1:4318",
        "",
        "file://",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_another_origin_is_refused(origin: str, method: str) -> None:
    answer = await ask(guarded(), "/v1/traces", method=method, headers=[("origin", origin)])
    assert answer.status == 403
    assert "access-control-allow-origin" not in answer.headers


async def test_our_own_origin_is_not_refused() -> None:
    assert (await ask(guarded(), "/api/traces", headers=[("origin", f"http://{HOST}")])).status == 200
    both = [("origin", f"http://{HOST}"), ("origin", "http://evil.example")]
    assert (await ask(guarded(), "/api/traces", headers=both)).status == 403


@pytest.mark.parametrize(
    ("site", "target", "status"),
    [
        ("cross-site", "/api/traces", 403),
        ("same-site", "/api/traces", 403),
        ("cross-site", "/v1/traces", 403),
        ("Same-Origin?", "/api/traces", 403),
        ("same-origin", "/api/traces", 200),
        ("none", "/api/traces", 200),
        ("cross-site", "/", 200),
        ("cross-site", "/traces/abc", 200),
    ],
)
async def test_data_is_for_our_own_pages_and_pages_may_be_led_to(site: str, target: str, status: int) -> None:
    assert (await ask(guarded(), target, headers=[("sec-fetch-site", site)])).status == status


# --- the token --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("authorization", "Bearer wrong")],
        [("authorization", "Bearer")],
        [("authorization", "Bearer secretx")],
        [("authorization", "Basic secret")],
        [("authorization", "secret")],
        [("authorization", "Bearer \xff\xfe")],
        [("cookie", "prela-token-4318=wrong")],
        [("cookie", "prela-token-4319=secret")],
        [("cookie", "prela-token-4318")],
        [("cookie", "=;;;=\x01\xff")],
        [("cookie", 'prela-token-4318="')],
    ],
)
@pytest.mark.parametrize("target", ["/", "/api/traces", "/static/app.js", "/v1/traces", "/api/traces?token=secret"])
async def test_without_the_token_there_is_nothing(headers: list[tuple[str, str]], target: str) -> None:
    answer = await ask(guarded(token="secret"), target, headers=headers)
    assert answer.status == 401
    assert "secret" not in answer.body.decode() + repr(answer.headers)


@pytest.mark.parametrize(
    "header",
    [
        ("authorization", "Bearer secret"),
        ("authorization", "bearer secret"),
        ("cookie", "a=b; prela-token-4318=secret; c=d"),
    ],
)
async def test_the_token_comes_in_a_header_or_a_cookie(header: tuple[str, str]) -> None:
    assert (await ask(guarded(token="secret"), "/api/traces", headers=[header])).status == 200


async def test_a_token_in_a_pages_address_becomes_a_cookie_and_leaves_the_address() -> None:
    app = guarded(token="secret")
    answer = await ask(app, "/traces/ab%20c?token=secret&span=1&x=")
    assert (answer.status, answer.headers["location"]) == (303, "/traces/ab%20c?span=1&x=")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("prela-token-4318=secret;")
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert (await ask(app, "/", headers=[("cookie", cookie.partition(";")[0])])).status == 200


@pytest.mark.parametrize("target", ["/?token=wrong", "/?token=", "/?token=wrong&token=secret", "/?Token=secret"])
async def test_a_wrong_token_in_the_address_gives_no_cookie(target: str) -> None:
    answer = await ask(guarded(token="secret"), target)
    assert answer.status == 401
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "path", ["//evil.example", "///evil.example/", "/\\evil.example", "/%5cevil.example", "/a%0d%0ab"]
)
async def test_the_way_back_leads_to_this_server_only(path: str) -> None:
    answer = await ask(guarded(token="secret"), f"{path}?token=secret")
    location = answer.headers["location"]
    assert answer.status == 303
    assert location[0] == "/" and location[1] not in "/\\"
    assert "\r" not in location and "\n" not in location


async def test_a_page_may_have_a_token_in_its_address_where_none_is_needed() -> None:
    assert (await ask(guarded(), "/?token=x")).status == 200


# --- every answer -----------------------------------------------------------------------------------------------------


async def test_every_answer_carries_the_headers() -> None:
    for app, target, status in [
        (guarded(), "/", 200),
        (guarded(names=()), "/" + "x" * 20_000, 414),
        (guarded(), "/?" + "x" * 20_000, 414),
        (guarded(token="secret"), "/", 401),
        (guarded(token="secret"), "/?token=secret", 303),
    ]:
        answer = await ask(app, target)
        assert answer.status == status
        assert answer.headers.items() >= HEADERS.items()
    assert (await ask(guarded(), "/", host="evil.example")).headers.items() >= HEADERS.items()
    policy = HEADERS["content-security-policy"]
    assert "unsafe" not in policy and "*" not in policy and "http" not in policy


async def test_a_websocket_is_closed() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError

    await guarded()({"type": "websocket", "path": "/", "headers": []}, receive, send)
    assert sent == [{"type": "websocket.close"}]
