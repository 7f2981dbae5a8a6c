"""Log-probabilities of a text that is given, not sampled: what min perplexity and mutual predictability read.

llama.cpp: the text's tokens are forced, by a grammar of token ids, and their log-probabilities come back as those of
sampled tokens do; a token that is part of a character (emoji, rare scripts), which no grammar can force, is looked up
among the likeliest ones. vLLM: the text is the last message, and `prompt_logprobs` are those of its tokens; written
from vLLM's documentation and tested against an imitation only.

A text is tokenized anew, so a reply that was sampled as other tokens gets other numbers than it came with, and may get
another count of them. Left out: servers that can neither (OpenAI, and what litellm reaches).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from catlite.data import Message, Prompt, Rollout
from catlite.errors import (
    AuthenticationFailed,
    BadReply,
    ConfigError,
    ContextOverflow,
    EndpointUnavailable,
    RequestRejected,
)
from catlite.models.booking import Books, MostTokens
from catlite.models.http import wire
from catlite.models.http.clients import Answer, Client
from catlite.models.http.prices import counts
from catlite.models.http.service import Service
from catlite.models.kept import kept_scores
from catlite.runs import session
from catlite.runs.budget import most_prompt_tokens
from catlite.usage import Usage

T = TypeVar("T")
_Read = Callable[[dict[str, Any], str], tuple[T, Usage]]  # of a reply and the server's name
_LOWEST = -9999.0  # what vLLM gives for a token that is impossible; llama.cpp gives -3.4e38, which no mean survives
_BIAS = 1000.0  # logits differ by far less, so a token with this bias is the greedy one
_LISTED = (1000, 1_000_000)  # of the likeliest tokens, first; then all there are, which is megabytes


@dataclass
class Scorer:
    """One call of `Endpoint.logprobs`, with what the endpoint lends it."""

    service: Service
    who: str  # how errors call the server
    sampling: Mapping[str, Any]  # of the endpoint: only what shapes the prompt is taken from it
    prompt: Prompt
    spent: list[Usage] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.books = Books(self.service.model, self.service.price)

    async def stored(self, messages: list[Message], text: str) -> list[float]:
        """As `score`; what the run in force has scored before is not asked again."""
        service = self.service

        async def score() -> Rollout:
            try:
                logprobs = await self.score(messages, text)
                if not all(map(math.isfinite, logprobs)):
                    raise BadReply(f"{self.who} gave a log-probability that is no number: {logprobs!r:.200}")
            except BaseException as error:
                session.meter(Usage.total(self.spent))
                if isinstance(error, EndpointUnavailable | BadReply):
                    session.tell(error)
                raise
            # A score is no reply: it has no text, and whoever counts usable rollouts passes it by.
            return Rollout("", finish_reason="scored", logprobs=tuple(logprobs), usage=Usage.total(self.spent))

        return await kept_scores(service.model, service.kept_address, messages, text, self._template(), score)

    async def score(self, messages: list[Message], text: str) -> list[float]:
        """The natural log of the probability of each token of `text` as the reply to `messages`."""
        if self.service.learned.scoring is None or self.service.learned.scoring == "llama.cpp":
            prompt = await self._llama_prompt(messages)
            if prompt is not None:
                self.service.learned.scoring = "llama.cpp"
                return await self._llama(prompt, text)
        if self.service.learned.scoring == "not at all":
            raise unable(self.who)
        return await self._vllm(messages, text)

    def _template(self) -> dict[str, Any]:
        """Settings of the chat template, such as thinking off: without them the prompt is another one."""
        settings = {**(self.sampling.get("extra_body") or {}), **self.sampling}
        return {name: settings[name] for name in ("chat_template_kwargs",) if settings.get(name)}

    # llama.cpp

    async def _llama_prompt(self, messages: list[Message]) -> str | None:
        """The prompt as the chat template writes it; None when the server is not llama.cpp's."""

        def read(reply: dict[str, Any], who: str) -> tuple[str | None, Usage]:
            prompt = reply.get("prompt")
            if self.service.learned.scoring is not None and not isinstance(prompt, str):
                raise BadReply(f"{who} gave no prompt from its chat template: {wire.snippet(json.dumps(reply))}")
            return (prompt if isinstance(prompt, str) else None), Usage(requests=1)

        try:
            return await self._post("/apply-template", {"messages": messages, **self._template()}, read)
        except (RequestRejected, AuthenticationFailed) as error:
            if error.status == 401 or self.service.learned.scoring is not None:
                raise
        return None

    async def _llama(self, prompt: str, text: str) -> list[float]:
        # As the server itself tokenizes a chat prompt. The text is plain: "<|im_end|>" in it is eight letters.
        before, _ = await self._tokens(prompt, special=True)
        ids, writable = await self._tokens(text, special=False)
        logprobs: list[float] = []
        for part, whole in _runs(ids, writable):
            prefix = [*before, *ids[: len(logprobs)]]
            logprobs += await (self._forced(prefix, part) if whole else self._listed(prefix, part[0]))
        return logprobs

    async def _tokens(self, text: str, *, special: bool) -> tuple[list[int], list[bool]]:
        """Token ids, and for each whether a grammar can force it: one that is part of a character it cannot."""

        def read(reply: dict[str, Any], who: str) -> tuple[tuple[list[int], list[bool]], Usage]:
            tokens = reply.get("tokens")
            if not isinstance(tokens, list) or not all(isinstance(token, dict) for token in tokens):
                raise BadReply(f"{who} gave no tokens for a text: {wire.snippet(json.dumps(reply))}")
            pieces = [token.get("piece") for token in tokens]
            writable = [isinstance(piece, str) and bool(piece) and "\0" not in piece for piece in pieces]
            return ([token["id"] for token in tokens], writable), Usage(requests=1)

        body = {"content": text, "add_special": special, "parse_special": special, "with_pieces": True}
        return await self._post("/tokenize", body, read)

    async def _forced(self, prompt: list[int], ids: list[int]) -> list[float]:
        """Have `ids` written after `prompt` in one go, and read their log-probabilities."""
        grammar = "root ::= " + " ".join(f"<[{token}]>" for token in ids)

        def read(reply: dict[str, Any], who: str) -> tuple[list[float], Usage]:
            tokens = _generated(reply)
            if len(tokens) < len(ids) and reply.get("truncated"):
                length = len(prompt) + len(ids)
                raise ContextOverflow(
                    f"{who}: prompt and text have {length:,} tokens, beyond its context", given=length
                )
            logprobs = [token["logprob"] for token in tokens if isinstance(token.get("logprob"), float | int)]
            if [token.get("id") for token in tokens] != ids or len(logprobs) != len(ids):
                raise BadReply(
                    f"{who} was to write {len(ids)} given tokens and wrote {wire.snippet(json.dumps(tokens))}"
                )
            return [max(value, _LOWEST) for value in logprobs], self._llama_usage(reply, prompt, len(ids))

        return await self._complete(prompt, {"n_predict": len(ids), "n_probs": 1, "grammar": grammar}, read)

    async def _listed(self, prompt: list[int], token: int) -> list[float]:
        """The log-probability of `token` after `prompt`, read from the alternatives to a full stop."""
        stop = (await self._tokens(".", special=False))[0][-1]
        for most in _LISTED:

            def read(reply: dict[str, Any], who: str) -> tuple[list[float], Usage]:
                written = _generated(reply)
                listed = written[0].get("top_logprobs") if written else None
                if not isinstance(listed, list):
                    raise BadReply(f"{who} lists no alternatives to a token: {wire.snippet(json.dumps(written))}")
                logprobs = [max(entry["logprob"], _LOWEST) for entry in listed if entry.get("id") == token]
                return logprobs[:1], self._llama_usage(reply, prompt, 1)

            forcing = {"n_predict": 1, "n_probs": most, "logit_bias": [[stop, _BIAS]]}
            logprobs = await self._complete(prompt, forcing, read)
            if logprobs:
                return logprobs
        raise BadReply(f"{self.who} does not list token {token} of its own vocabulary")

    async def _complete(self, prompt: list[int], forcing: Mapping[str, Any], read: _Read[list[float]]) -> list[float]:
        body = {"prompt": prompt, "temperature": 0, "cache_prompt": True, **forcing}
        try:
            return await self._post("/completion", body, read, (len(prompt), forcing["n_predict"]))
        except RequestRejected as error:
            if "grammar" not in str(error):
                raise
            why = f"{self.who} takes no grammar of token ids, which scoring needs: update llama.cpp ({error})"
        raise ConfigError(why)

    def _llama_usage(self, reply: Mapping[str, Any], prompt: list[int], written: int) -> Usage:
        cached = (reply.get("timings") or {}).get("cache_n") or 0
        price = self.service.price
        cost = price.cost(len(prompt), written, cached) if price else None
        return Usage(len(prompt), written, cached, cost, 1)

    # vLLM

    async def _vllm(self, messages: list[Message], text: str) -> list[float]:
        reply = {"role": "assistant", "content": text}
        whole = await self._prompt_logprobs([*messages, reply], continued=True)
        before = await self._prompt_logprobs(messages, continued=False)
        shared = 0
        while shared < min(len(whole), len(before)) and whole[shared][0] == before[shared][0]:
            shared += 1
        # The text's first token may take in the template's last character: two newlines are often one token.
        if shared < len(before) - 1 or shared == len(whole):
            raise ConfigError(
                f"{self.who} does not write a prompt with its reply as that prompt and then the reply, so it is not "
                "known which tokens are the reply's: its chat template changes earlier messages or leaves the reply out"
            )
        return [max(value, _LOWEST) for _, value in whole[shared:]]

    async def _prompt_logprobs(self, messages: list[Message], *, continued: bool) -> list[tuple[str, float]]:
        """(token id, log-probability) of every token of the prompt; the first, which nothing precedes, has 0."""

        def read(reply: dict[str, Any], who: str) -> tuple[list[tuple[str, float]] | None, Usage]:
            tokens = _prompt_tokens(reply.get("prompt_logprobs"), who)
            if tokens is None and (self.service.learned.scoring is not None or not reply.get("choices")):
                raise BadReply(f"{who} gave no prompt_logprobs: {wire.snippet(json.dumps(reply))}")
            prompt, completion, _ = counts(reply)
            price = self.service.price
            return tokens, Usage(prompt, completion, 0, price.cost(prompt, completion, 0) if price else None, 1)

        # prompt_logprobs=0 gives the prompt's own tokens and no alternatives to them.
        more = {"prompt_logprobs": 0, "add_generation_prompt": not continued, "continue_final_message": continued}
        request = {"max_tokens": 1, "temperature": 0, "extra_body": {**more, **self._template()}}
        try:
            tokens = await self._exchange(
                lambda client: client.send(messages, request, self.service.timeout),
                read,
                lambda: (most_prompt_tokens(messages), 1),
                exact=False,
            )
        except ContextOverflow:
            raise
        except RequestRejected as error:
            if self.service.learned.scoring is not None or error.for_every_prompt:
                raise
            failure = unable(f"{self.who} ({error})")
        else:
            learned = self.service.learned
            learned.scoring = learned.scoring or ("not at all" if tokens is None else "vLLM")
            if tokens is not None:
                return tokens
            failure = unable(self.who)
        raise failure

    # HTTP

    async def _post(self, path: str, body: Mapping[str, Any], read: _Read[T], most: tuple[int, int] = (0, 0)) -> T:
        """POST to a path beside `/v1`, which is where llama.cpp has its own; `most` are tokens of prompt and reply."""
        timeout = self.service.timeout
        return await self._exchange(
            lambda client: client.post(client.url.removesuffix("/v1") + path, body, timeout), read, lambda: most
        )

    async def _exchange(
        self, send: Callable[[Client], Awaitable[Answer | None]], read: _Read[T], most: MostTokens, exact: bool = True
    ) -> T:
        """What `read` makes of the answer: asked again on transient failures, booked, within the limits."""
        started = time.monotonic()

        async def attempt(service: Service) -> T:
            async with self.books.request(most, exact=exact) as booking:
                client = await service.client()
                answer = await send(client)
                result, usage = read(_object(answer.body if answer else ""), client.who)
                usage += Usage(seconds=time.monotonic() - started)
                booking(usage)
                self.spent.append(usage)
                return result

        return await self.service.retrying(attempt, self.prompt)


def unable(who: str) -> ConfigError:
    """The error for a model that cannot score."""
    return ConfigError(
        f"{who} gives no log-probabilities of given text: use a llama.cpp or vLLM server, or MinPerplexity() with "
        "logprobs=True rollouts"
    )


def check_text(text: Any) -> str:
    """`text` when there is something to score; ConfigError otherwise."""
    if not isinstance(text, str) or not text:
        raise ConfigError(f"text={text!r}: give a text of at least one token to score")
    return text


def _generated(reply: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tokens of a llama.cpp completion: {"id", "logprob", "top_logprobs"}."""
    tokens = reply.get("completion_probabilities")
    return [token for token in tokens if isinstance(token, dict)] if isinstance(tokens, list) else []


def _runs(ids: list[int], writable: list[bool]) -> Iterator[tuple[list[int], bool]]:
    """Runs of tokens that one grammar can force, and between them, alone, each that none can."""
    start = 0
    for end in range(1, len(ids) + 1):
        if not writable[start] or end == len(ids) or not writable[end]:
            yield ids[start:end], writable[start]
            start = end


def _prompt_tokens(entries: Any, who: str) -> list[tuple[str, float]] | None:
    """As vLLM gives `prompt_logprobs`: null at first, then {token id: {"logprob": …}} with the prompt's token first."""
    if not isinstance(entries, list):
        return None
    tokens: list[tuple[str, float]] = []
    for position, entry in enumerate(entries):
        if position == 0 and entry is None:
            tokens.append(("", 0.0))
            continue
        token, about = next(iter(entry.items()), ("", None)) if isinstance(entry, dict) else ("", None)
        value = about.get("logprob") if isinstance(about, dict) else None
        if not isinstance(value, float | int):
            raise BadReply(f"{who} gave no log-probability for token {position} of the prompt: {entry!r:.200}")
        tokens.append((token, float(value)))
    return tokens


def _object(body: str) -> dict[str, Any]:
    """`body` as a JSON object; an empty one when it is anything else."""
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return reply if isinstance(reply, dict) else {}
