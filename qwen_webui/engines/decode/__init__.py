"""Continuous batching over a paged cache: a scheduler, and what computes for it.

computer.py is the seam between the two. In the order of a request: model.py takes it, scheduler.py
gives it pages (pages.py) and its turns, cpu.py computes, sampling.py draws.
"""
