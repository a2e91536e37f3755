"""Makes the embedded demonstration checkpoint: training text, tokenizer, training and evaluation.

Nothing here is imported by the program; the wheel carries only what these scripts produce.
"""
