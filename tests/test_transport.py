"""The way to the server: certificates are checked, proxies of the environment are used, accounts are named."""

import asyncio
import json
import shutil
import ssl

import children
import pytest
from asking import ask

from catlite import Endpoint

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


def test_a_proxy_is_not_asked_for_a_server_on_this_machine(server, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert ask(server)[0].error is None


def test_organization_and_project_are_sent_as_openai_sends_them(server, monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    ask(server)
    headers = server.requests[0].headers
    assert (headers["openai-organization"], headers["openai-project"]) == ("org-1", "proj-1")
