"""Tasks: named sets of examples, a module each."""
