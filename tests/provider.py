"""A provider with a bill of its own, in place of the HTTP client: what it charged is known, whatever it says.

It is driven by a seeded generator, so that a scenario is the same every time: replies, refusals, failures after the
work was done, silence about usage, time-outs, cancelled callers, a process that is killed.
"""

import asyncio
import json

from catlite.errors import EndpointUnavailable
from catlite.models.http import wire
from catlite.models.http.clients import Answer
from catlite.usage import Usage

WORKED = (
    "answer",
    "answer",
    "answer",
    "late",
    "lost",
    "500",
    "502",
    "504",
    "408",
    "503",
    "unreadable",
    "error",
    "filter",
)
TURNED_AWAY = ("400", "409", "429", "529", "overloaded", "unreachable")


class Provider:
    """One per scenario. `bill` is what it charges; `kill`, when set, ends the process at that request."""

    url = "http://provider/v1"
    who = "provider"

    def __init__(self, drawn, price, *, limit_name=None, takes_n=True, troubles=0.4):
        self.drawn, self.price = drawn, price
        self.limit_name = limit_name  # the only name for the token limit that it takes
        self.takes_n, self.troubles = takes_n, troubles
        self.bill = Usage()
        self.requests, self.kill = 0, None

    def charge(self, prompt, completion):
        self.bill += Usage(prompt, completion, 0, self.price.cost(prompt, completion, 0), 1)

    async def hops(self):
        for _ in range(self.drawn.randrange(4)):
            await asyncio.sleep(0)

    def arrive(self):
        self.requests += 1
        if self.kill is not None and self.requests == self.kill[0]:
            self.kill[1]()

    async def send(self, messages, request, timeout, write=None):
        await self.hops()
        trouble = self.drawn.choice(TURNED_AWAY) if self.drawn.random() < self.troubles / 2 else None
        if trouble == "unreachable":
            raise EndpointUnavailable("connection refused", sent=False)
        self.arrive()
        request = {**request, **request.get("extra_body", {})}
        name = "max_tokens" if "max_tokens" in request else "max_completion_tokens"
        if trouble is None and self.limit_name not in (None, name):
            trouble = "name"
        if trouble is not None:
            self.charge(0, 0)
            raise self.refusal(trouble, name)
        n = request.get("n", 1) if self.takes_n else 1
        most = sum(len(message["content"].encode()) + 16 for message in messages)
        prompt = self.drawn.randint(1, most)
        written = [self.drawn.randint(0, request[name]) for _ in range(n)]
        self.charge(prompt, sum(written))
        await self.hops()
        return self.outcome(prompt, written)

    def refusal(self, trouble, name):
        if trouble == "name":
            return wire.status_error(400, f"Unsupported parameter: '{name}'", {}, self.who)
        if trouble == "overloaded":
            return wire.status_error(503, "The engine is currently overloaded", {}, self.who)
        return wire.status_error(int(trouble), "no", {}, self.who)

    def outcome(self, prompt, written):
        what = self.drawn.choice(WORKED) if self.drawn.random() < self.troubles else "answer"
        if what == "late":
            raise EndpointUnavailable("no complete reply within timeout")
        if what == "lost":
            raise EndpointUnavailable("hung up")
        if what == "filter":
            return None
        if what.isdigit():
            raise wire.status_error(int(what), "upstream failed", {}, self.who)
        usage = {"prompt_tokens": prompt, "completion_tokens": sum(written)}
        said = self.drawn.choice(["all", "all", "nothing", "null", "zeros", "half", "beside"])
        usage = {
            "all": usage,
            "null": None,
            "zeros": dict.fromkeys(usage, 0),
            "half": {"prompt_tokens": prompt, "completion_tokens": None},
            "beside": {  # thinking is in the total alone
                "prompt_tokens": prompt,
                "completion_tokens": sum(written) // 2,
                "total_tokens": prompt + sum(written),
            },
        }.get(said)
        body = {"choices": [{"message": {"content": "x" * (1 + size)}, "finish_reason": "stop"} for size in written]}
        if said != "nothing":
            body["usage"] = usage
        if what == "unreadable":
            body["choices"] = self.drawn.choice([None, [], [{"message": 3}], [{"message": {"content": 7}}]])
        if what == "error":
            body = {"error": {"message": "upstream failed after all"}}
        return Answer(json.dumps(body), {})

    async def post(self, url, body, timeout):
        """llama.cpp's own paths, as a scorer asks them."""
        await self.hops()
        self.arrive()
        if url.endswith("/apply-template"):
            self.charge(0, 0)
            return Answer(json.dumps({"prompt": body["messages"][-1]["content"]}), {})
        if url.endswith("/tokenize"):
            self.charge(0, 0)
            return Answer(json.dumps({"tokens": [{"id": ord(one), "piece": one} for one in body["content"]]}), {})
        self.charge(len(body["prompt"]), body["n_predict"])
        if self.drawn.random() < self.troubles:
            raise EndpointUnavailable("hung up")
        ids = [int(part) for part in body["grammar"].replace("<[", "").replace("]>", "").split()[2:]]
        found = [{"id": one, "logprob": -1.0} for one in ids]
        return Answer(json.dumps({"completion_probabilities": found}), {})

    async def close(self):
        pass


class Disk:
    """The queue of a store, in place of the one its thread reads: written at once or a moment later; or never, when the
    process is killed first."""

    def __init__(self, store, drawn):
        self.store, self.drawn = store, drawn
        self.jobs, self.dead = [], False
        self.connection = store._connect()
        store._waiting.put(None)
        store._writer.join()
        store._waiting = self

    def put(self, job):
        if self.dead or job is None:
            return
        self.jobs.append(job)
        if self.drawn.random() < 0.5:
            self.flush()
        else:
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self):
        jobs, self.jobs = self.jobs, []
        if not self.dead:
            self.store._commit(self.connection, jobs)

    def close(self):
        """In place of Store.close: in order, or as a process that was killed leaves it."""
        self.flush()
        self.connection.close()
        self.store._reader.close()
        if self.dead:
            self.store._journal.open[0] = Usage()  # so that the lines stay
        self.store._journal.close()
        self.store._lock.release()
