"""`litellm` as a client: every provider that OpenAI's client does not reach, for models named "provider/name".

litellm is imported on first use only, its own retries are off, and its exceptions never leave this module. Left out:
anything but chat completions.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from copy import deepcopy
from typing import Any

from catlite.data import Message
from catlite.errors import AuthenticationFailed, BadReply, ConfigError, MissingExtra, RequestRejected
from catlite.models.http.chunks import Assembly, Write
from catlite.models.http.clients import (
    Answer,
    Passed,
    late,
    lost,
    never_sent,
    once,
    without_frames,
)
from catlite.models.http.keys import Address, Secret
from catlite.models.http.proxies import check_proxies
from catlite.models.http.refusals import prompt_text, snippet, status_error

# What litellm and the libraries below it say when there is no key, at times as a 500 or a lost connection.
_KEYLESS = re.compile(r"(?:missing|no|set the) .{0,40}(?:api.?key|credential|token)|credentials", re.IGNORECASE)


class LiteLLMClient:
    """`litellm.acompletion`; litellm's connections are shared by its callers on a loop, and close when that ends."""

    def __init__(self, model: str, address: Address, connections: int) -> None:  # noqa: ARG002
        check_proxies()  # litellm reads them while it is imported
        # Before the import: no price map from the network. After it: no advice on stdout.
        os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        try:
            import litellm

            from catlite.models.http import litellm_cache  # noqa: F401 - its import gives litellm the cache
        except ImportError as error:
            raise MissingExtra(f"model names with a provider need litellm: pip install litellm ({error})") from None
        litellm.suppress_debug_info = True
        self.url = address.url
        self.who = f"model {model!r}"
        self._model = model
        self._address = address

    async def send(
        self, messages: list[Message], request: dict[str, Any], timeout: float, write: Write | None = None
    ) -> Answer | None:
        """See Client."""
        import litellm
        import openai

        failure: BaseException
        try:
            async with asyncio.timeout(timeout):
                reply = await litellm.acompletion(
                    model=self._model,
                    messages=deepcopy(messages),  # which some of its providers change
                    timeout=timeout,
                    num_retries=0,
                    max_retries=0,
                    api_key=self._address.key.reveal() or None,
                    **request,
                )
                if write is None or not isinstance(reply, litellm.CustomStreamWrapper):
                    return Answer(self._redact(json.dumps(reply.model_dump(mode="json"))), {})
                whole = await self._assembled(reply, write)
                if whole is not None:
                    return Answer(whole, {})
                failure = lost(self.who, "the stream ended before the reply did", sent=True)
        except (TimeoutError, openai.APITimeoutError):
            failure = late(self.who, timeout)
        except asyncio.CancelledError as error:
            failure = without_frames(error)
        except Exception as error:  # each provider's module has errors of its own
            text, status = self._redact(str(error)), getattr(error, "status_code", None)
            code = _code(error, text)
            filtered = code == "content_filter" or isinstance(error, litellm.exceptions.ContentPolicyViolationError)
            missing = [] if self._address.key.reveal() else _missing_keys(self._model)
            if missing and _KEYLESS.search(text):
                failure = AuthenticationFailed(
                    f"{self.who} has no API key: set {' or '.join(missing)}, or pass api_key=", status=401
                )
            elif isinstance(error, openai.APIConnectionError) or never_sent(error):  # litellm's name for a 500 as well
                failure = lost(self.who, text, sent=not never_sent(error))
            elif "LLM Provider NOT provided" in text:
                failure = ConfigError(
                    f"model={self._model!r} names no provider litellm knows: for an OpenAI-compatible server pass "
                    f'base_url=…, or write "openai/{self._model}"'
                )
            elif status == 400 and filtered:
                return None
            elif isinstance(status, int) and status >= 400:
                headers: Mapping[str, str] = getattr(error, "litellm_response_headers", None) or {}
                body, keys = {"message": text, "code": code}, _key_variables(self._model)
                failure = status_error(status, body, headers, self.who, keys, prompt=prompt_text(messages))
            else:
                failure = BadReply(f"{self.who} gave no reply litellm can read: {snippet(text)}")
        raise failure

    async def _assembled(self, reply: Any, write: Write) -> str | None:
        """The body that a stream's chunks make; None where it broke off, which litellm hides by a reason of its own."""
        assembly = Assembly(write)
        async with contextlib.aclosing(reply):
            async for chunk in reply:
                fields = json.loads(self._redact(json.dumps(chunk.model_dump(mode="json"))))
                # Where no chunk of the provider's had a usage, litellm counts with a tokenizer of its own.
                told = any(raw.model_dump().get("usage") for raw in reply.chunks) if fields.get("usage") else True
                assembly.take(fields if told else fields | {"usage": None})
        ended = reply.received_finish_reason or reply.intermittent_finish_reason
        return assembly.body() if ended else None

    async def post(self, url: str, body: Mapping[str, Any], timeout: float) -> Answer | None:  # noqa: ARG002
        """See Client. litellm has chat completions only."""
        raise ConfigError(f"{self.who} is reached through litellm, which has no {url}")

    @asynccontextmanager
    async def forward(self, body: bytes, timeout: float, headers: Mapping[str, str]) -> AsyncIterator[Passed]:
        """See Client. The reply comes whole, in the form of a chat completion, also where a stream is asked for."""
        fields = json.loads(body)
        messages = fields.pop("messages")
        request = {name: value for name, value in fields.items() if name not in ("model", "stream", "stream_options")}
        answer = await self.send(messages, request | ({"extra_headers": headers} if headers else {}), timeout)
        if answer is None:
            raise RequestRejected(f"{self.who}: the provider's content filter refused the prompt", status=400)
        yield Passed(200, {"content-type": "application/json"}, once(answer.body.encode()))

    async def close(self) -> None:
        """See Client. There is nothing to close before the loop ends."""

    def _redact(self, text: str) -> str:
        """`text` without the key, and without those litellm may have taken from the environment."""
        text = self._address.redact(text)
        for name, value in os.environ.items():
            if name.upper().endswith("_API_KEY") and value:
                text = Secret(value).redact(text)
        return text


def _code(error: BaseException | None, text: str) -> str | None:
    """What the provider called the failure; litellm leaves that in its message or on an error behind its own."""
    known = ("insufficient_quota", "content_filter", "context_length_exceeded")
    while error is not None:
        text, error = f"{text} {getattr(error, 'code', None)}", error.__context__
    return next((code for code in known if code in text), None)


def _missing_keys(model: str) -> list[str]:
    """The variables in which litellm looks for the key of a model's provider, when it is in none of them."""
    import litellm

    try:
        missing = litellm.validate_environment(model)["missing_keys"]
    except Exception:  # a name that litellm cannot place
        return []
    return [name for name in missing if re.search("KEY|TOKEN|SECRET", name)]


def _key_variables(model: str) -> str:
    """The variables in which litellm looks for the key of a model's provider, in words."""
    provider = model.partition("/")[0]
    names = _missing_keys(model)
    if not names:  # it is there, and was refused
        plain = re.sub(r"[^A-Z0-9]", "", provider.upper())
        keys = [name for name in os.environ if re.search(r"_(?:API_KEY|API_TOKEN|AUTH_TOKEN|KEY|TOKEN)$", name)]
        names = sorted(name for name in keys if re.sub(r"[^A-Z0-9]", "", name.upper()).startswith(plain))
    return " or ".join(names) or f"the variable litellm reads for {provider!r}"
