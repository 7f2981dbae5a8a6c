"""An OpenAI-compatible server in front of any model: synthesis, vote and best of n for programs that know only a URL.

A program asks for `cat/<model>`, `vote/<model>`, `best/<model>` or the plain `<model>` (chat.py). settings.py has what
a server allows, service.py makes a reference of a request, front.py is the ASGI app, process.py runs it on a port.
Left out: other paths than chat completions, and TLS.
"""

from catlite.serving.front import app

__all__ = ["app"]
