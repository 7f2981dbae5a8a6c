"""Prompts, as files; `files` fills them in, `fence` keeps model text apart from them."""
