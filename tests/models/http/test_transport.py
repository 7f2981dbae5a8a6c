"""The way to the server: certificates are checked, proxies of the environment are used, accounts are named."""

import asyncio
import json
import shutil
import ssl

import children
import pytest
from asking import ask

from catlite import Endpoint, concurrency
from catlite.errors import ConfigError
from catlite.models.http.clients import OpenAIClient
from catlite.models.http.keys import Address, Secret, on_this_machine

REPLY = json.dumps({"choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}]}).encode()


async def answering(seen, port=0, tls=None):
    """A server that notes each request's head and answers it."""

    async def answer(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            int(line.split(":")[1]) for line in head.lower().split("\r\n") if line.startswith("content-length")
        )
        await reader.readexactly(length)
        seen.append(head)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(REPLY) + REPLY)
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", port, ssl=tls)
    return listener, listener.sockets[0].getsockname()[1]


@pytest.fixture
def certificate(tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    paths = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = "req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    command = ["openssl", *made.split(), "-keyout", str(paths[0]), "-out", str(paths[1])]
    children.run(command, check=True, capture_output=True)
    return paths


@pytest.mark.parametrize("trusted", [False, True])
def test_a_certificate_nobody_vouches_for_is_refused_and_one_in_ssl_cert_file_taken(certificate, monkeypatch, trusted):
    key, cert = certificate
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    seen = []

    async def work():
        listener, port = await answering(seen, tls=tls)
        async with (
            listener,
            Endpoint("m", base_url=f"https://localhost:{port}/v1", api_key="k", retry_seconds=0.1) as model,
        ):
            return (await model.sample("q"))[0]

    rollout = asyncio.run(work())
    assert len(seen) == int(trusted)
    assert (rollout.text == "hello") if trusted else ("certificate verify failed" in rollout.error.lower())


# httpx_aiohttp gives a proxy's login to aiohttp in the old way.
@pytest.mark.filterwarnings("ignore:BasicAuth is:DeprecationWarning", "ignore:The 'proxy_auth':DeprecationWarning")
@pytest.mark.parametrize("exempt", [False, True])
def test_the_environments_proxy_is_used_unless_the_host_is_exempt(monkeypatch, exempt):
    seen = []

    async def work():
        listener, port = await answering(seen)
        monkeypatch.setenv("http_proxy", f"http://me:secret@127.0.0.1:{port}")
        monkeypatch.setenv("no_proxy", "models.invalid" if exempt else "")
        base_url = "http://models.invalid/v1"
        async with listener, Endpoint("m", base_url=base_url, api_key="k", retry_seconds=0.1) as model:
            return (await model.sample("q"))[0]

    rollout = asyncio.run(work())
    assert len(seen) == (0 if exempt else 1)
    if exempt:
        assert "cannot be reached" in rollout.error
    else:
        assert seen[0].startswith("POST http://models.invalid/v1/chat/completions ")
        assert "proxy-authorization: basic" in seen[0].lower()


LOOPBACK = ["127.0.0.1", "localhost", "LOCALHOST", "localhost.", "me.localhost", "127.8.9.10", "127.1", "0.0.0.0"]
LOOPBACK += ["[::1]", "[::]", "[::ffff:127.0.0.1]"]
ELSEWHERE = [
    "localhost.example.org",
    "notlocalhost",
    "128.0.0.1",
    "10.0.0.1",
    "[::2]",
    "127.0.0.1.example.org",
    "1.127.0.0",
]
UNREADABLE = [
    ("ALL_PROXY", "socks://127.0.0.1:1080/"),
    ("all_proxy", "socks5h://127.0.0.1:1080"),
    ("HTTP_PROXY", "quic://proxy:1"),
    ("https_proxy", "ftp://me:hunter2-hunter2@proxy"),
    ("http_proxy", "http://proxy:port"),
    ("NO_PROXY", "example.org,[::1]"),
    ("no_proxy", "fe80::/10, localhost"),
    ("no_proxy", "a:b"),
]


@pytest.mark.parametrize("host", LOOPBACK)
def test_every_address_of_the_loopback_is_known_as_such(host):
    assert on_this_machine(f"http://{host}:8000/v1")


@pytest.mark.parametrize("host", ELSEWHERE)
def test_no_other_address_is_taken_for_the_loopback(host):
    assert not on_this_machine(f"http://{host}:8000/v1")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
@pytest.mark.parametrize(("name", "value"), [("http_proxy", "http://127.0.0.1:9"), *UNREADABLE])
def test_a_proxy_is_not_asked_for_a_server_on_this_machine_nor_even_read(server, monkeypatch, name, value, host):
    monkeypatch.setenv(name, value)
    url = server.url.replace("127.0.0.1", host)
    assert ask(server, settings={"base_url": url})[0].error is None


@pytest.mark.parametrize("name_and_value", UNREADABLE)
@pytest.mark.parametrize("model", ["m", "openai/m"])
def test_a_proxy_that_cannot_be_read_is_an_error_with_the_variables_name(monkeypatch, name_and_value, model):
    name, value = name_and_value
    if model != "m" and value.startswith("socks5"):
        pytest.skip("litellm's clients have an answer of their own to socks5")
    monkeypatch.setenv(name, value)
    base_url = None if "/" in model else "http://models.invalid/v1"
    with Endpoint(model, base_url=base_url, api_key="k") as endpoint, pytest.raises(ConfigError) as caught:
        concurrency.run(endpoint.sample("q"))
    assert name in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("no_proxy", "*,[::1]"),
        ("no_proxy", "::1,10.0.0.0/8,.example.org,example.org:80,*.internal,http://x,localhost,"),
        ("https_proxy", "socks5://127.0.0.1:1"),  # for other addresses than this one
        ("http_proxy", "127.0.0.1:9"),
    ],
)
def test_what_the_client_can_read_is_left_to_it(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    client = OpenAIClient("m", Address("http://models.invalid/v1", Secret("k")), 1)
    asyncio.run(client.close())


def test_a_socks_proxy_is_no_matter_where_the_host_is_exempt(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "models.invalid")
    client = OpenAIClient("m", Address("http://models.invalid/v1", Secret("k")), 1)
    asyncio.run(client.close())


def test_organization_and_project_are_sent_as_openai_sends_them(server, monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    ask(server)
    headers = server.requests[0].headers
    assert (headers["openai-organization"], headers["openai-project"]) == ("org-1", "proj-1")
