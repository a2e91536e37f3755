"""Decoding on an NVIDIA card by kernels in Triton: nothing is compiled at install, no nvcc.

loading.py makes computer.py's CudaComputer. In the order of a request: computer.py, prefill.py,
step.py, kernels/. What imports those needs Triton: import it only where there is a card.
"""
