"""The kernels themselves. Triton only: import them only where there is a card.

unpack: words to the halves of a fragment. linear: products out of those. fused: products with what
surrounds them in a step. attention: of a step. prefill: what the library lacks for many columns.
"""
