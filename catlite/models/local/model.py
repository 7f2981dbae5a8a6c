"""Weights in this process: a policy that can be trained, and its frozen anchor on the same weights.

Backends: transformers, and Unsloth where there is a CUDA device and the package; safetensors only. `frozen()` is the
same model with its LoRA adapter off, so an anchor costs no memory. Left out: several devices, images, tools, replies
constrained to a schema, stopping early at a stop string (a reply is cut there afterwards).
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NoReturn

from catlite.checks import whole_number
from catlite.data import Message, Prompt, Rollout, as_messages, text_only
from catlite.errors import ConfigError, ContextOverflow, RequestRejected
from catlite.models.base import TOKEN_LIMITS, Traits, check_n, check_sampling, combined, sendable, token_limit
from catlite.models.booking import Books
from catlite.models.http.likelihood import check_text
from catlite.models.http.prices import Price
from catlite.models.kept import kept, kept_scores, wanted
from catlite.models.local.engine import Reply
from catlite.models.local.loading import Weights, check_adapter, check_fast, check_path, choose_backend, resolve_dtype
from catlite.models.local.sampling import Drawing, Drawn
from catlite.usage import Usage

_FREE = Price(0.0, 0.0)
MAX_TOKENS = 1024  # of a reply, when nobody says: a small model does not always stop
_DRAWN_BY = frozenset({"temperature", "top_p", "top_k", "min_p", "seed"})  # what a Drawing takes as it is
_TAKEN = _DRAWN_BY | {*TOKEN_LIMITS, "stop", "chat_template_kwargs", "logprobs", "top_logprobs"}


class LocalModel:
    """A model whose weights are in this process.

    A budget counts its tokens, and no requests and no dollars; a run keeps its replies and its scores.

    Args:
        path: a folder with safetensors, a name on the Hugging Face hub, or "local", the embedded SmolLM2.
        adapter: the folder of a LoRA adapter; None for the bare weights.
        backend: "transformers", "unsloth", or "auto", which takes Unsloth where there is a CUDA device and the package.
        dtype: "float32", "bfloat16", "float16", or "auto": the files' own where the device computes in it, else float16
            or float32.
        context: tokens of prompt and reply together; None is the model's own.
        batch_size: replies drawn at once, halved when memory does not suffice; None: 256 on CUDA, 64 on a CPU.
        fast: what draws replies: "graphs", CUDA graphs over a static cache; "plain", one pass of the model a token; the
            address of a vLLM server of the same model, such as "http://127.0.0.1:8000/v1", which reads this machine's
            disk; "unsloth", vLLM in this process on the weights that Unsloth trains; None: the fastest that works in
            this process without vLLM.
        load_in_4bit: load the weights in 4 bits (Unsloth); False.
        **sampling: defaults of every call: temperature, top_p, max_tokens, …

    Raises:
        ConfigError: for a setting that is wrong.
        MissingExtra: without catlite[train].

    Example:
        >>> model = catlite.LocalModel("Qwen/Qwen3-0.6B", max_tokens=256)
        >>> catlite.synthesize("What is 6 times 7?", model)
    """

    def __init__(
        self,
        path: str | Path,
        *,
        adapter: str | Path | None = None,
        backend: str = "auto",
        dtype: str = "auto",
        context: int | None = None,
        batch_size: int | None = None,
        fast: str | None = None,
        load_in_4bit: bool = False,
        **sampling: Any,
    ) -> None:
        self.path = check_path(path)
        self.adapter = None if adapter is None else check_adapter(Path(adapter).expanduser())
        if batch_size is not None:
            whole_number("batch_size", batch_size, hint=", or None")
        if dtype not in ("auto", "float32", "bfloat16", "float16"):
            raise ConfigError(f'dtype={dtype!r}: want "auto", "float32", "bfloat16" or "float16"')
        self.sampling = check_sampling(sampling)
        settings = {"dtype": dtype, "context": context, "batch_size": batch_size, "load_in_4bit": load_in_4bit}
        backend = choose_backend(backend)
        settings["fast"] = check_fast(fast, backend)
        self.weights = Weights(self.path, self.adapter, backend, settings)
        self.trainable = True

    @property
    def name(self) -> str:
        """How the model is called in reports: the last part of its path."""
        own = "SmolLM2-135M-Instruct" if self.path == "local" else Path(self.path).name
        return own if self.adapter is None else f"{own} + {self.adapter.name}"

    @property
    def traits(self) -> Traits:
        """What the pipeline wants to know of it; 64 questions are under way, enough to fill a batch."""
        return Traits(max_connections=32, price=_FREE, sampling=self.sampling, keeps_books=True, text_only=True)

    @property
    def backend(self) -> str:
        """The backend that was chosen."""
        return self.weights.backend

    @property
    def model(self) -> Any:
        """The torch module, loaded on first use."""
        return self.weights.engine.model

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, loaded on first use."""
        return self.weights.tokenizer

    def frozen(self) -> LocalModel:
        """The same weights with the adapter off: the anchor. It stays the initial policy while this one is trained."""
        view = object.__new__(Frozen)  # its constructor would load the weights again
        view.path, view.adapter, view.sampling, view.weights = self.path, self.adapter, self.sampling, self.weights
        view.trainable = False
        return view

    async def sample(self, prompt: Prompt, n: int = 1, **sampling: Any) -> list[Rollout]:
        """`n` replies to `prompt`, in order, with the log-probabilities of their tokens.

        With a seed a reply depends on seed, prompt and index, and on its batch by rounding only. Calls that are made
        at once run in one batch. In a run (`run=`) a reply is found again by weights, adapter, prompt and parameters.
        Raises ConfigError for a bad argument, RequestRejected for a parameter that only servers know, ContextOverflow
        when the prompt, and `max_tokens` where they are given, are more than the context, OutOfMemory when not even one
        reply fits.
        """
        messages = [sendable(message) for message in as_messages(text_only(prompt, repr(self.name)))]
        request = combined(self.sampling, check_sampling(sampling))
        samples = wanted(check_n(n))
        unknown = [name for name in request if name not in _TAKEN]
        if unknown:
            raise RequestRejected(f"{self.name!r} runs in this process, which takes no {unknown[0]}", status=400)
        # Not looked at again, since an adapter's digest takes long: who trains it waits for what it is asked.
        async with kept(self.name, self._address, messages, request, samples, look_again=False) as replies:
            if missing := replies.missing:
                fresh = await self._draw(messages, request, missing)
                await replies.keep(dict(zip(missing, fresh, strict=True)))
            return replies.in_order()

    async def logprobs(self, prompt: Prompt, text: str) -> list[float]:
        """The natural log of the probability of each token of `text`, as the reply to `prompt`; its end aside."""
        messages = [sendable(message) for message in as_messages(text_only(prompt, repr(self.name)))]
        text = sendable({"content": check_text(text)})["content"]
        template = {name: value for name, value in self.sampling.items() if name == "chat_template_kwargs" and value}

        async def score() -> Rollout:
            await self._loaded()
            before = self.tokens(messages, self.sampling)
            reply = self.tokenizer(text, add_special_tokens=False)["input_ids"]
            length = len(before) + len(reply)
            self.room(length)
            started = time.monotonic()
            async with self._books().request(lambda: (length, 0), exact=True) as booking:
                (scores,) = await _results([self.weights.engine.score(before, reply, adapter=self.trainable)])
                usage = Usage(length, seconds=time.monotonic() - started)
                booking(usage)
            return Rollout("", finish_reason="scored", logprobs=tuple(scores), usage=usage)

        return await kept_scores(self.name, self._address, messages, text, template, score, look_again=False)

    def _books(self) -> Books:
        """Where what is drawn is booked: tokens, at no price and without a request."""
        return Books(self.name, _FREE, requests=0)

    async def _loaded(self) -> None:
        """Loads the weights when they are not yet, without holding up the caller's loop."""
        if not self.weights.loaded or self.weights.url is not None:
            await asyncio.to_thread(lambda: self.weights.context)

    async def _draw(self, messages: list[Message], request: Mapping[str, Any], indices: list[int]) -> list[Rollout]:
        await self._loaded()
        prompt = self.tokens(messages, request)
        limit = token_limit(request)
        room = self.room(len(prompt), 1 if limit is None else limit)
        limit = min(MAX_TOKENS, room) if limit is None else limit
        settings = {name: value for name, value in request.items() if name in _DRAWN_BY}
        settings.setdefault("seed", secrets.randbits(63))
        settings["top_k"] = max(settings.get("top_k", 0), 0)
        drawing = Drawing(**settings, max_tokens=limit)
        async with self._books().request(lambda: (len(prompt), len(indices) * limit), exact=True) as booking:
            prompts = [prompt] * len(indices)
            drawn = await self.draw(prompts, drawing, indices)
            rollouts = [
                self._rollout(reply, 0 if number else len(prompt), request) for number, reply in enumerate(drawn)
            ]
            booking(Usage.total(rollout.usage for rollout in rollouts))
        return rollouts

    async def draw(self, prompts: Sequence[list[int]], drawing: Drawing, indices: Sequence[int]) -> list[Drawn]:
        """Draws a reply to each prompt, given as tokens, with its index: by the server if there is one."""
        weights = self.weights
        if weights.served is not None:
            return await weights.served.draw(prompts, drawing, indices, adapter=self.trainable)
        return await _results(weights.engine.draw(prompts, drawing, indices, adapter=self.trainable))

    def _rollout(self, drawn: Drawn, prompt_tokens: int, request: Mapping[str, Any]) -> Rollout:
        def text_of(length: int) -> str:
            return str(self.tokenizer.decode(drawn.tokens[:length], skip_special_tokens=True))

        text, complete, logprobs = text_of(len(drawn.tokens)), drawn.end is not None, tuple(drawn.logprobs)
        stops = request.get("stop") or []
        stops = [stops] if isinstance(stops, str) else stops
        at = min((place for stop in stops if stop and (place := text.find(stop)) >= 0), default=None)
        if at is not None:
            lengths = range(1, len(logprobs) + 1)
            logprobs = logprobs[: bisect_right(lengths, at, key=lambda length: len(text_of(length)))]
            text, complete = text[:at], True
        seconds = drawn.seconds if prompt_tokens else 0.0
        usage = Usage(prompt_tokens, len(drawn.tokens), seconds=seconds, generations=1)
        return Rollout(text, finish_reason="stop" if complete else "length", logprobs=logprobs, usage=usage)

    def tokens(self, messages: list[Message], request: Mapping[str, Any] | None = None) -> list[int]:
        """`messages` in the model's chat template, up to where its reply begins; `request` may tell the template.

        Raises RequestRejected for messages that the template refuses, such as a system message.
        """
        tokenizer, messages = self.tokenizer, as_messages(text_only(messages, repr(self.name)))
        options = {**self.weights.template, **((request or {}).get("chat_template_kwargs") or {})}
        from jinja2 import TemplateError

        try:
            text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False, **options)
        except TemplateError as error:
            raise RequestRejected(
                f"{self.name!r}: the model's chat template does not take these messages: {error}", status=400
            ) from None
        ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def room(self, tokens: int, reply: int = 1) -> int:
        """How many tokens a prompt of `tokens` leaves of the context; ContextOverflow when a `reply` has no room."""
        limit = self.weights.context
        if tokens + reply > limit:
            wish = f" and its reply may have {reply:,}" if reply > 1 else ""
            raise ContextOverflow(
                f"{self.name!r}: the prompt has {tokens:,} tokens{wish}; the context is {limit:,}",
                limit=limit,
                given=tokens + reply,
            )
        return limit - tokens

    async def _address(self) -> str:
        """What stands for the weights in a run store; the first time their files are read."""
        return await asyncio.to_thread(self._weights_address)

    def _weights_address(self) -> str:
        weights = self.weights
        adapter = weights.adapter_digest() if self.trainable else "none"
        dtype, four_bit = resolve_dtype(weights.settings["dtype"]), int(weights.settings["load_in_4bit"])
        context = weights.settings["context"]  # where a reply without max_tokens ends
        more = f":context {context}" if context else ""
        more += f":{json.dumps(weights.template, sort_keys=True)}" if weights.template else ""
        # Not whether CUDA graphs draw or single passes: their numbers differ by rounding only, as two batches' do.
        more += ":vllm" if weights.vllm else ""  # whose replies to the same seed are others
        return f"weights:{weights.digest}:{adapter}:{dtype}:{four_bit}{more}"

    def save_adapter(self, folder: str | Path) -> Path:
        """Writes the adapter, as PEFT keeps one, into `folder` and returns it. ConfigError when there is none."""
        if not hasattr(self.model, "peft_config"):
            raise ConfigError(f"{self!r} has no adapter to save: train it first")
        target = Path(folder).expanduser()
        self.model.save_pretrained(str(target), selected_adapters=["default"])
        return target

    async def aclose(self) -> None:
        """Ends the thread that runs batches, and the connections to a server; the next call starts others."""
        if self.weights.loaded:
            await asyncio.to_thread(self.weights.engine.close)
            if self.weights.served is not None:
                await self.weights.served.aclose()

    def __reduce__(self) -> NoReturn:
        raise ConfigError(
            f"{self!r} is not pickled or copied: it holds weights. Load it where it is needed, or serve it "
            "(`catlite serve`, vLLM) and take Endpoint(name, base_url=…), which travels"
        )

    def __repr__(self) -> str:
        adapter = "" if self.adapter is None else f", adapter={str(self.adapter)!r}"
        settings = "".join(f", {name}={value!r}" for name, value in self.sampling.items())
        return f"LocalModel({self.path!r}{adapter}{settings})"


class Frozen(LocalModel):
    """What `LocalModel.frozen` gives."""

    @property
    def name(self) -> str:
        """The base's name."""
        own = "SmolLM2-135M-Instruct" if self.path == "local" else Path(self.path).name
        return f"{own}, frozen"

    def __repr__(self) -> str:
        return f"LocalModel({self.path!r}).frozen()"


async def _results(replies: Sequence[Reply[Any]]) -> list[Any]:
    """Their results; when the caller is cancelled, the batch they are in learns that nobody waits, and is waited for.

    Whoever cancels may go on to train the weights, which a batch must not be using meanwhile.
    """
    futures: list[Future[Any]] = list(replies)
    try:
        return await asyncio.gather(*map(asyncio.wrap_future, futures))
    except asyncio.CancelledError:
        for reply in replies:
            reply.abandoned = True
            reply.cancel()  # which one whose batch runs does not do
        if running := [asyncio.wrap_future(future) for future in futures if future.running()]:
            await asyncio.wait(running)
        raise
