"""A server that speaks vLLM's protocol over a Hugging Face model: what LocalModel(fast=url) asks of the real one.

    with VLLM(folder) as server:
        LocalModel(folder, fast=server.url)

It takes one request at a time. Left out: text prompts, streaming, penalties, prefix caching.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class VLLM:
    """Settings are plain attributes that a test may change on the way; `asked` has what arrived."""

    def __init__(self, folder, context=256, max_rank=64):
        import torch
        from transformers import AutoModelForCausalLM

        self.torch, self.folder = torch, folder
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.context, self.max_rank = context, max_rank
        self.adapters = {}  # model by name
        self.loaded, self.unloaded = [], []  # (name, path, tensors) and names, in order
        self.asked = []  # bodies of completions
        self.under_way, self.mixed = [0, 0], False  # requests for an adapter and for the base; whether ever both
        self.takes_adapters = True  # started with VLLM_ALLOW_RUNTIME_LORA_UPDATING
        self.gives_ids = True  # knows return_token_ids
        self.stale = False  # draws with the first adapter under every name
        self.length_first = False  # says "length" of what ends with its last token, as vLLM 0.10 does
        self.key = None  # that it wants: it gets none
        self.busy = 0  # completions that it refuses before the next one that it makes
        self.change = None  # makes another answer of a completion
        self.outages = {}  # by number of completion: how many requests get no answer before it is started again
        self._down = 0
        self._one = threading.Lock()

    def __enter__(self):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                with outer._one:
                    self.close_connection = outer.is_down(self.path)
                    if not self.close_connection:
                        self.answer(*((401, {"error": "Unauthorized"}) if outer.key else (200, outer.models())))

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                kind = body.get("model") == "base"
                outer.under_way[kind] += 1
                outer.mixed |= all(outer.under_way)
                with outer._one:
                    if outer.is_down(self.path):
                        outer.under_way[kind] -= 1
                        self.close_connection = True
                        return
                    status, reply = outer.post(self.path, body)
                outer.under_way[kind] -= 1  # before the answer, after which the next may come at once
                try:
                    self.answer(status, reply)
                except OSError:
                    self.close_connection = True

            def answer(self, status, reply):
                sent = json.dumps(reply).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            def log_message(self, *_):
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._http.shutdown()
        self._http.server_close()

    def is_down(self, path):
        """Whether this request gets no answer; with the last of those the server starts again, without adapters."""
        if path.endswith("/completions") and not self._down:
            self._down = self.outages.pop(len(self.asked), 0)
        if not self._down:
            return False
        self._down -= 1
        if not self._down:
            self.adapters.clear()
        return True

    def models(self):
        base = {"id": "base", "object": "model", "parent": None, "max_model_len": self.context}
        return {"object": "list", "data": [{"id": name, "parent": "base"} for name in self.adapters] + [base]}

    def post(self, path, body):
        if path == "/v1/completions":
            return self.complete(body)
        if self.takes_adapters and path == "/v1/load_lora_adapter":
            return self.load(body["lora_name"], body["lora_path"])
        if self.takes_adapters and path == "/v1/unload_lora_adapter":
            self.unloaded.append(body["lora_name"])
            known = self.adapters.pop(body["lora_name"], None)
            return (200, "Success") if known else error(404, "The lora adapter cannot be found.")
        return 404, {"detail": "Not Found"}

    def load(self, name, path):
        from peft import PeftModel
        from safetensors.torch import load_file
        from transformers import AutoModelForCausalLM

        if name in self.adapters:
            return error(400, f"The lora adapter '{name}' has already been loaded.")
        base = AutoModelForCausalLM.from_pretrained(self.folder, dtype=self.torch.float32)
        source = self.loaded[0][1] if self.stale and self.loaded else path
        if not (self.stale and self.loaded):
            self.first = PeftModel.from_pretrained(base, source).eval()
        adapter = self.first
        if adapter.peft_config["default"].r > self.max_rank:
            return error(500, f"LoRA rank is greater than max_lora_rank {self.max_rank}.")
        self.loaded.append((name, path, load_file(f"{path}/adapter_model.safetensors")))
        self.adapters[name] = adapter
        return 200, "Success"

    def complete(self, body):
        if body["model"] not in ("base", *self.adapters):
            return error(404, f"The model `{body['model']}` does not exist.")
        if len(body["prompt"]) + body["max_tokens"] > self.context:
            return error(400, f"This model's maximum context length is {self.context} tokens.")
        if self.busy:
            self.busy -= 1
            return error(503, "The server is overloaded.")
        self.asked.append(body)
        tokens, logprobs = self.draw(self.adapters.get(body["model"], self.model), body)
        ended, full = tokens[-1] in body["stop_token_ids"], len(tokens) == body["max_tokens"]
        choice = {
            "index": 0,
            "text": "",
            "finish_reason": "length" if not ended or (self.length_first and full) else "stop",
            "logprobs": {"token_logprobs": logprobs} if body.get("logprobs") is not None else None,
        }
        if self.gives_ids and body.get("return_token_ids"):
            choice["token_ids"] = tokens
        answer = {"object": "text_completion", "choices": [choice]}
        return 200, self.change(answer) if self.change else answer

    def draw(self, model, body):
        torch = self.torch
        random = torch.Generator().manual_seed(body["seed"])
        ids, cache, tokens, logprobs = torch.tensor([body["prompt"]]), None, [], []
        with torch.no_grad():
            while len(tokens) < body["max_tokens"] and not (tokens and tokens[-1] in body["stop_token_ids"]):
                out = model(input_ids=ids, past_key_values=cache, use_cache=True)
                cache, scores = out.past_key_values, out.logits[0, -1]
                if body["temperature"] == 0:
                    token = int(scores.argmax())
                else:
                    scaled = scores / body["temperature"]
                    if body["top_k"] > 0:
                        scaled[scaled < scaled.topk(body["top_k"]).values[-1]] = -torch.inf
                    token = int(torch.multinomial(scaled.softmax(-1), 1, generator=random))
                tokens.append(token)
                logprobs.append(float(scores.log_softmax(-1)[token]))
                ids = torch.tensor([[token]])
        return tokens, logprobs


def error(status, message):
    return status, {"error": {"message": message, "type": "Error", "param": None, "code": status}}
