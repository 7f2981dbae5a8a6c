"""The child process behind the embedded model: a llama.cpp server on loopback that dies with its parent.

Run as a program. It reads one JSON line of settings from stdin, serves, prints its address as one JSON line on
stdout, and leaves as soon as stdin reaches end-of-file, which the kernel brings about even when the parent is
killed. It imports nothing of catlite, so that the child stays small and starts fast.
"""

import json
import os
import sys


def read_line() -> bytes:
    """Read a line from stdin, unbuffered; exit when the parent is already gone."""
    line = b""
    while not line.endswith(b"\n"):
        # os.read and not sys.stdin: a buffered reader would hide end-of-file from the wait below.
        chunk = os.read(0, 65536)
        if not chunk:
            sys.exit(0)
        line += chunk
    return line


def main() -> None:
    """Serve until the parent goes."""
    # The address goes out on the real stdout; prints of the engine go to stderr, a file of the parent.
    answer = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    settings = json.loads(read_line())
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = settings["model"]
    params.model_alias = {"local"}  # a reply names the model, which would else be the path on this machine
    params.n_ctx = settings["context"]
    params.n_parallel = settings["parallel"]
    # One cache shared by all slots: eight short rollouts or one long synthesis, in the same memory.
    params.kv_unified = True
    params.n_gpu_layers = 0
    params.cpuparams.n_threads = settings["threads"]
    params.cpuparams_batch.n_threads = settings["threads"]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [settings["key"]]
    # llama.cpp's defaults are those of a workstation's own server: open to every web page, with a page and
    # diagnostics of its own and an 8 GB prompt cache.
    params.cors_origins = "http://127.0.0.1"
    params.ui = False
    params.endpoint_slots = False
    params.cache_ram_mib = 256
    server = xllamacpp.Server(params)
    answer.write(json.dumps({"url": server.listening_address}).encode() + b"\n")
    while os.read(0, 65536):
        pass
    # Not through Server's destructor, which waits for requests in flight.
    os._exit(0)


if __name__ == "__main__":
    main()
