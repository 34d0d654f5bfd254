"""Observe, decide, apply: one module per kind of work; idempotent, restartable at any moment."""
