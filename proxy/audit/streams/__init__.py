"""Recorded event streams of language models, merged into the one response that they make up. Pure."""
