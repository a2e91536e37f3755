"""Engines: one protocol (base.py), the worker process behind it, and a fake for tests."""
