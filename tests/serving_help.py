"""Chat requests, and the events of a stream."""

import json


def question(model="cat/test-model", text="What is 6 times 7?", **more):
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def events(text):
    """The data of a stream's events, parsed; comments are left out."""
    data = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [item if item == "[DONE]" else json.loads(item) for item in data]
