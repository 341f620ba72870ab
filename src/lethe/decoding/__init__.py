"""Continuations of texts, fast and exact, and what is measured on them."""
