"""Reference estimation (arXiv 2509.14234 §3.1): a group of rollouts becomes one pseudo-reference."""
