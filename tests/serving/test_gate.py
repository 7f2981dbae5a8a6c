"""Who may ask: with a key, or from this machine and not from a stranger's web page."""

import asyncio

import httpx
import pytest
from serving_help import question

KEY = "serve-0123456789"


@pytest.fixture
def status(front):
    """The status of a chat request with these headers to an app with these settings, and the whole reply."""

    def status(headers, path="/v1/chat/completions", method="POST", **settings):
        async def send():
            transport = httpx.ASGITransport(app=front(**settings))
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8484") as client:
                return await client.request(method, path, json=question("test-model"), headers=headers)

        reply = asyncio.run(send())
        assert KEY not in reply.text
        return reply.status_code, reply

    return status


@pytest.mark.parametrize(
    "sent",
    [None, "", KEY, f"Basic {KEY}", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", "Bearer ", "Bearer é"],
)
def test_without_the_right_key_nothing_is_asked(server, status, caplog, sent):
    headers = {} if sent is None else {"Authorization": sent.encode()}
    with caplog.at_level("INFO", "catlite.serving"):
        code, reply = status(headers, key=KEY)
    assert "a request: 401, the key of this server is" in caplog.text
    assert KEY[:-1] not in caplog.text
    assert (code, reply.json()["error"]["code"]) == (401, "invalid_api_key")
    assert reply.headers["www-authenticate"] == "Bearer"
    assert status(headers, "/v1/models", "GET", key=KEY)[0] == 401
    assert server.requests == []


def test_the_key_opens_and_is_not_sent_on(server, status):
    """Also for another host or page: neither knows the key."""
    headers = {"Authorization": f"Bearer {KEY}", "Host": "example.org", "Origin": "https://example.org:8"}
    assert status(headers, key=KEY)[0] == 200
    assert KEY not in str(server.requests[0].headers)
    assert status({}, "/health", "GET", key=KEY)[0] == 200


def test_a_key_in_a_url_is_refused_and_not_repeated(server, status):
    for name in ("key", "api_key", "api-key", "access_token"):
        code, reply = status({}, f"/v1/chat/completions?x=1&{name}={KEY}", key=KEY)
        assert (code, reply.json()["error"]["code"]) == (400, "key_in_url")
    assert status({"Authorization": f"Bearer {KEY}"}, "/v1/chat/completions?api-version=3", key=KEY)[0] == 200
    assert status({"Authorization": f"bearer {KEY}"}, key=KEY)[0] == 200  # HTTP does not tell the cases apart


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("127.0.0.1:8484", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("[::1]:8484", 200),
        ("evil.example:8484", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("127.0.0.1@evil.example", 403),
        ("192.168.0.7", 403),
        ("", 403),
    ],
)
def test_without_a_key_only_names_of_this_machine_are_answered(server, status, host, code):
    """A name of a stranger's that resolves to 127.0.0.1 is how a web page would get around its origin."""
    assert status({"Host": host})[0] == code
    assert len(server.requests) == (code == 200)


@pytest.mark.parametrize(
    ("origin", "code"),
    [
        ("http://127.0.0.1:8484", 200),
        ("http://127.0.0.1:3000", 403),
        ("http://localhost:8484", 403),
        ("https://evil.example", 403),
        ("null", 403),
        ("http://chat.example", 200),
    ],
)
def test_a_web_page_may_ask_only_when_it_is_named(server, status, origin, code):
    result, reply = status({"Origin": origin}, allow_origins=["http://chat.example"])
    assert result == code
    assert len(server.requests) == (code == 200)
    assert (reply.headers.get("access-control-allow-origin") == origin) == (origin == "http://chat.example")


def test_a_browser_is_told_beforehand(status):
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization, x-catlite-n"}
    named = {"Origin": "http://chat.example", **asked}
    assert status(named, method="OPTIONS", allow_origins=["http://chat.example"], key=KEY)[0] == 200
    assert status({"Origin": "http://evil.example", **asked}, method="OPTIONS", allow_origins=["http://x"])[0] == 400
    assert status(named, method="OPTIONS")[0] == 403
