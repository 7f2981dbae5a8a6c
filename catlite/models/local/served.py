"""Draw replies from a vLLM server of the same base model: `LocalModel(path, fast="http://127.0.0.1:8000/v1")`.

The server has an environment of its own and reads this machine's disk. The adapter is handed over through a folder
whenever its numbers have changed, each time under a new name: the server's cache of prompts knows an adapter by its
name. Bare weights, which are the anchor's, are asked for under the base's name. Some of the replies are scored here as
well, so that a server of another model is refused. Left out: keys, several replicas, servers on another disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import json
import logging
import math
import os
import secrets
import shutil
import time
import weakref
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean, stdev
from tempfile import mkdtemp
from typing import Any

from catlite import concurrency
from catlite.errors import BadReply, ConfigError, EndpointDown, EndpointUnavailable, ModelError, RequestRejected
from catlite.models.http.keys import Secret, address, on_this_machine
from catlite.models.http.service import Service
from catlite.models.local.adapters import adapter_digest, check_servable, lora_rank_of_vllm
from catlite.models.local.engine import Engine
from catlite.models.local.sampling import Drawing, Drawn, as_drawn, seed_of_reply

TOLERANCE = 0.1  # mean difference of log-probabilities: 0.04 in bfloat16, 0.45 with 5% of noise on the weights
_CHECKED = 8  # replies of a draw that are scored here as well
_ENOUGH = 32  # tokens for a verdict: one token of the same model may well differ by more than TOLERANCE
_CLEARLY = 5  # standard errors
_SECONDS = 3600.0  # for one reply, time in the server's queue included
_PATIENCE, _PAUSE = 120.0, 0.5  # seconds: for a server that is gone, and between two looks for it
_ATTEMPTS = 8  # for one request
_RESTART = 10.0  # seconds that vLLM needs at least to be started again
_ROOM = 2**30  # bytes that the memory's file system must have free to be used
_logger = logging.getLogger("catlite")


@dataclass(frozen=True, slots=True)
class _Reply:
    """What the server drew: tokens with their log-probabilities, the end token included, and when it came."""

    tokens: list[int]
    logprobs: list[float]
    came: float


class Served:
    """A vLLM server that draws for the model of `engine`; nothing is asked before it is needed.

    Raises ConfigError for an address that is wrong.
    """

    def __init__(self, url: str, engine: Engine, context: int | None) -> None:
        self.url = check_url(url)
        self.engine = engine
        self.wanted = context  # tokens that the server's context must have; None for whatever it has
        self._service = Service("vLLM", Secret(self.url), Secret("none"), engine.batch_size, _SECONDS, 300.0)
        self._session = f"catlite-{secrets.token_hex(4)}"
        self._version = 0  # of the adapter: how often it was handed over
        self._name, self._digest = "", ""  # of the adapter that the server has
        # By name, the tokens that were scored here as well: (the server's, ours, that of the bare weights).
        self._scored: dict[str, list[tuple[float, float, float]]] = {}
        # These belong to the background loop, on which all draws are made.
        self._handing_over, self._checking, self._looking = asyncio.Lock(), asyncio.Lock(), asyncio.Lock()
        self._idle = asyncio.Event()
        self._under_way, self._with_adapter = 0, False
        self._answered = self._gone = self._silent = 0.0  # when the server was last heard of, given up, and silent

    @cached_property
    def base(self) -> tuple[str, int]:
        """The base's name and the tokens of its context, as the server tells them.

        Raises EndpointUnavailable when nobody answers, ConfigError for another kind of server or too small a context.
        """
        models = self._models()
        try:
            card = next(card for card in json.loads(models)["data"] if card.get("parent") is None)
            name, context = str(card["id"]), int(card["max_model_len"])
        except (ValueError, KeyError, TypeError, AttributeError, StopIteration):
            raise ConfigError(
                f"fast={self.url!r}: no vLLM server answers there, whose /models would name a base model and its "
                "max_model_len; want an address such as http://127.0.0.1:8000/v1"
            ) from None
        if self.wanted is not None and self.wanted > context:
            raise ConfigError(
                f"context={self.wanted}, and {self.url} serves {context:,} tokens: start it with "
                f"--max-model-len {self.wanted}, or give the LocalModel context={context}"
            )
        return name, context

    def _models(self) -> str:
        """The server's list of models, as it sends it. Raises EndpointUnavailable when nobody answers."""
        import httpx

        try:
            answer = httpx.get(f"{self.url}/models", trust_env=not on_this_machine(self.url), timeout=30.0)
        except httpx.TransportError as error:
            why = f"nothing answers at {self.url} ({error}). Start the server first: {self._command()}"
            raise EndpointUnavailable(why, sent=False) from None
        if answer.status_code in (401, 403):
            raise ConfigError(
                f"fast={self.url!r}: the server there wants a key, and gets none: want vLLM without --api-key"
            )
        return answer.text

    async def draw(
        self, prompts: Sequence[list[int]], drawing: Drawing, indices: Sequence[int], *, adapter: bool
    ) -> list[Drawn]:
        """Draw a reply for each prompt with its index; when the caller is cancelled, so are its requests.

        Raises:
            ConfigError: for a server of another model, or one that cannot take the adapter.
            EndpointUnavailable: EndpointDown when the server has gone and does not come back; another for one that
                was never there.
            ModelError: for what the server refuses or gets wrong.
        """
        try:
            return await asyncio.wrap_future(concurrency.start(self._draw(prompts, drawing, indices, adapter=adapter)))
        except asyncio.CancelledError:  # whoever cancels may go on to train the weights, which a check may be using
            await asyncio.to_thread(self.engine.await_batch)
            raise

    async def _draw(
        self, prompts: Sequence[list[int]], drawing: Drawing, indices: Sequence[int], *, adapter: bool
    ) -> list[Drawn]:
        adapter = adapter and hasattr(self.engine.model, "peft_config")
        async with self._beside_its_kind(adapter=adapter):
            started = time.monotonic()
            name = await self._renewed() if adapter else self.base[0]
            if started - self._answered > _RESTART:
                self._scored.pop(self.base[0], None)  # it may have another base by now
            pairs = list(zip(prompts, indices, strict=True))
            replies = await concurrency.together(self._reply(name, prompt, drawing, index) for prompt, index in pairs)
            await self._check(name, prompts, replies, adapter=adapter)
        seconds = time.monotonic() - started
        return [as_drawn(reply.tokens, reply.logprobs, self.engine.ends, seconds) for reply in replies]

    @contextlib.asynccontextmanager
    async def _beside_its_kind(self, *, adapter: bool) -> AsyncIterator[None]:
        """Wait until no draws of the other kind are under way: vLLM on a CPU would give those the adapter as well."""
        while self._under_way and self._with_adapter != adapter:
            await self._idle.wait()
        self._with_adapter = adapter
        self._under_way += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    async def _reply(self, name: str, prompt: list[int], drawing: Drawing, index: int) -> _Reply:
        body = {
            "model": name,
            "prompt": prompt,
            "max_tokens": drawing.max_tokens,
            "temperature": drawing.temperature,
            "top_p": drawing.top_p,
            "top_k": drawing.top_k or -1,
            "min_p": drawing.min_p,
            "seed": seed_of_reply(drawing, prompt, index),
            "stop_token_ids": self.engine.ends,
            # Not those of the model's own settings: the model is to be sampled as it is trained.
            "repetition_penalty": 1.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "logprobs": 0,  # of the drawn token alone
            "return_token_ids": True,
        }
        try:
            return self._read(await self._post("/completions", body))
        except RequestRejected as error:
            if error.status != 404 or name == self.base[0]:
                raise
        self._doubt()  # it has lost the adapter
        await self._hand_over(name)
        return self._read(await self._post("/completions", body))

    def _doubt(self) -> None:
        """The server was started again: it may have another base, and what was checked so far counts no more."""
        self._silent = time.monotonic()
        self._scored.clear()

    def _read(self, body: str) -> _Reply:
        """The one choice of a completion."""
        try:
            (choice,) = json.loads(body)["choices"]
            tokens, logprobs = choice.get("token_ids"), choice["logprobs"]["token_logprobs"]
            good = choice["finish_reason"] in ("stop", "length") and all(map(math.isfinite, logprobs))
            good = good and (tokens is None or (0 < len(tokens) == len(logprobs) and min(tokens) >= 0))
            last = max(tokens or [0])
        except (ValueError, KeyError, TypeError, AttributeError):
            good = False
        if not good:
            raise BadReply(f"{self.url} answered with something that is no completion: {body[:300]!r}")
        if tokens is None:
            raise ConfigError(
                f"{self.url} gives no token ids (return_token_ids): want a vLLM server, of version 0.10.2 or later"
            )
        vocabulary = self.engine.model.config.get_text_config().vocab_size
        if last >= vocabulary:  # which a GPU would not survive
            why = f"it drew token {last}, and here there are {vocabulary:,}"
            raise ConfigError(f"{self.url} does not serve the model that is loaded here: {why}")
        return _Reply(tokens, logprobs, time.monotonic())

    async def _post(self, path: str, body: dict[str, Any]) -> str:
        """The text of the answer; what fails because the server is gone is sent again when it is back."""
        client = await self._service.client()
        attempts = 0
        while True:
            sent = time.monotonic()
            try:
                answer = await client.post(path, body, _SECONDS)
            except EndpointUnavailable as error:
                attempts += 1
                if attempts == _ATTEMPTS or (error.status is not None and path != "/completions"):
                    raise
                await self._back(sent, error)
                if error.status is not None:  # it is there, and busy
                    await asyncio.sleep(min(max(error.retry_after or 0.0, _PAUSE * 2**attempts), _PATIENCE))
            else:
                self._answered = time.monotonic()
                return "" if answer is None else answer.body

    async def _back(self, sent: float, failure: EndpointUnavailable) -> None:
        """Wait until the server answers again after the failure of a request that was sent at `sent`, once for all.

        Raises EndpointDown when it does not within _PATIENCE seconds.
        """
        if failure.status is None:
            self._doubt()  # also where others have had answers since: those may be of another base
        async with self._looking:
            end = time.monotonic() + _PATIENCE
            announced = False
            while self._answered < sent:
                try:
                    await asyncio.to_thread(self._models)
                    self._answered = time.monotonic()
                except EndpointUnavailable:
                    if self._gone > sent or time.monotonic() > end:
                        self._gone = time.monotonic()
                        why = f"{failure}; it did not come back within {_PATIENCE:g} s"
                        raise EndpointDown(f"{why}. Everything that came is kept") from None
                    if not announced:
                        _logger.warning("%s; waiting up to %g s for it to come back", failure, _PATIENCE)
                        announced = True
                    await asyncio.sleep(_PAUSE)

    async def _renewed(self) -> str:
        """The name under which the server has the adapter as it is now."""
        async with self._handing_over:
            check_servable(self.engine.model.peft_config["default"])
            digest = await asyncio.to_thread(adapter_digest, self.engine.model)
            if digest != self._digest:
                self._version += 1
                name, before = f"{self._session}-{self._version}", self._name
                await asyncio.to_thread(self._write, name)
                try:
                    await self._hand_over(name)
                except (ModelError, ConfigError):
                    await self._withdraw(name)
                    raise
                self._name, self._digest = name, digest
                if before:
                    await self._withdraw(before)
            return self._name

    @cached_property
    def _shelf(self) -> Path:
        """Where adapters are handed over: in memory where there is room for it and TMPDIR names no other place."""
        memory = "/dev/shm"  # noqa: S108 - mkdtemp makes a folder of a new name in it
        roomy = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ROOM
        shelf = mkdtemp(prefix="catlite-", dir=memory if roomy and "TMPDIR" not in os.environ else None)
        weakref.finalize(self, shutil.rmtree, shelf, ignore_errors=True)
        return Path(shelf)

    def _write(self, name: str) -> None:
        """Write the adapter into a new folder."""
        self.engine.model.save_pretrained(str(self._shelf / name), selected_adapters=["default"])

    async def _hand_over(self, name: str) -> None:
        """Have the server load the adapter of this name."""
        folder = self._shelf / name
        try:
            await self._post("/load_lora_adapter", {"lora_name": name, "lora_path": str(folder)})
        except ModelError as error:
            if error.status is None:
                raise
            if "already been loaded" not in str(error):  # which another draw has seen to
                raise ConfigError(
                    f"{self.url} does not load the adapter in {str(folder)!r} ({error.reason or error}). Start it with "
                    f"{self._command()}; it has to be able to read that folder (TMPDIR says where those are)"
                ) from error

    async def _withdraw(self, name: str) -> None:
        """Have the server forget the adapter of this name, and remove its folder."""
        with contextlib.suppress(ModelError):  # a server that is gone, or was started again, does not know it
            await (await self._service.client()).post("/unload_lora_adapter", {"lora_name": name}, _SECONDS)
        await asyncio.to_thread(shutil.rmtree, self._shelf / name, ignore_errors=True)

    async def _check(
        self, name: str, prompts: Sequence[list[int]], replies: Sequence[_Reply], *, adapter: bool
    ) -> None:
        """Score the last of the replies here; raise ConfigError when the server's log-probabilities are not ours.

        That is done for the base once, and again where the server was silent, and for the adapter's versions 1, 2, 4, 8
        and so on: the more it was trained, the clearer it shows whether the server draws with it.
        """
        if adapter and self._scored and name not in self._scored and self._version & (self._version - 1):
            return
        async with self._checking:
            scored = self._scored.get(name, [])
            if len(scored) >= _ENOUGH:
                return
            some = heapq.nlargest(_CHECKED, zip(prompts, replies, strict=True), key=lambda pair: pair[1].came)

            async def scores(*, adapter: bool) -> list[float]:
                futures = [self.engine.score(prompt, reply.tokens, adapter=adapter) for prompt, reply in some]
                rows = await asyncio.gather(*map(asyncio.wrap_future, futures))
                return [score for row in rows for score in row]

            theirs = [score for _, reply in some for score in reply.logprobs]
            ours = await scores(adapter=adapter)
            fresh = list(zip(theirs, ours, await scores(adapter=False) if adapter else ours, strict=True))
            compare(self.url, *zip(*scored, *fresh, strict=True))
            if some[-1][1].came > self._silent:
                self._scored[name] = scored + fresh

    def _command(self) -> str:
        """How to start the server, as far as it is known here."""
        settings = getattr(self.engine.model, "peft_config", {}).get("default")
        rank = 16 if settings is None else max([settings.r, *settings.rank_pattern.values()])
        return (
            "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 vllm serve BASE --host 127.0.0.1 --enable-lora "
            f"--max-lora-rank {lora_rank_of_vllm(rank)} --max-loras 2 --generation-config vllm"
        )

    async def aclose(self) -> None:
        """Have the server forget the adapter, and close the connections; the next draw opens new ones."""
        await asyncio.wrap_future(concurrency.start(self._close()))

    async def _close(self) -> None:
        async with self._handing_over:
            if self._name:
                await self._withdraw(self._name)
                self._name, self._digest = "", ""
        await self._service.connections.close()


def check_url(url: str) -> str:
    """`url` without a slash at its end. Raises ConfigError when it is not the address of a server."""
    try:
        where = address(Secret(url), Secret("none"))
    except ConfigError as error:
        raise ConfigError(str(error).replace("base_url=", "fast=", 1)) from None
    if where.login is not None:
        raise ConfigError(f"fast={where.url!r} has a login, which is not sent to a vLLM server: leave it out")
    return where.url


def compare(url: str, theirs: Sequence[float], ours: Sequence[float], bare: Sequence[float]) -> None:
    """Raise ConfigError unless the server's log-probabilities are those computed here, up to rounding.

    Fewer tokens than _ENOUGH are refused only for what would be too much for that many.

    Args:
        url: the server.
        theirs: the log-probability of each token of some replies, as the server gives it.
        ours: the same, computed here.
        bare: the same with the adapter off; `ours` where the replies are the base's.
    """
    off = [abs(their - our) for their, our in zip(theirs, ours, strict=True)]
    if not sum(off) <= TOLERANCE * max(len(off), _ENOUGH):
        raise ConfigError(
            f"{url} does not serve the model that is loaded here: the log-probabilities of {len(off)} tokens differ by "
            f"{fmean(off):.3g} on average, and rounding explains {TOLERANCE} at most. Serve the same weights in the "
            "same revision and precision, with vLLM's default --logprobs-mode raw_logprobs"
        )
    if len(off) < _ENOUGH:
        return
    nearer = [distance - abs(their - base) for distance, their, base in zip(off, theirs, bare, strict=True)]
    if fmean(nearer) > 0 and fmean(nearer) >= _CLEARLY * stdev(nearer) / math.sqrt(len(nearer)):
        raise ConfigError(
            f"{url} draws without the adapter as it is now: its log-probabilities of {len(off)} tokens are "
            f"{fmean(off):.3g} from those with the adapter and {fmean(off) - fmean(nearer):.3g} from those of the bare "
            "weights. Has it several replicas, or a proxy in front? Start one server, and ask it directly"
        )
