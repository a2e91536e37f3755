"""Foreign errors into ours: the one place of the worker that does so."""

from __future__ import annotations

import re

import torch
from safetensors import SafetensorError

from qwen_webui.engines.cancelling import Cancelled
from qwen_webui.errors import (
    CheckpointError,
    EngineCrashed,
    GenerationFailed,
    ModelSwitching,
    OutOfMemory,
    WebUIError,
)

# What the libraries of a card and of the machine say of it, whatever kind of error they raise.
OUT_OF_MEMORY = ("can't allocate memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")

# Of two parts or more: where a file lies on this machine is nobody's business.
PATH = re.compile(r"(/[^\s/:'\"]+){2,}/?")

NO_MEMORY = (
    "The device ran out of memory. Shorten the conversation, load with a smaller --max-context, "
    "or choose a smaller model or precision."
)
NOT_FINITE = (
    "The model computed values that are not finite numbers. This happens when a dtype is too "
    "narrow for a checkpoint or its weights are damaged: try another --dtype or precision."
)


def translated(error: Exception) -> WebUIError:
    """What the web process is told of `error`."""
    if isinstance(error, WebUIError):
        return error
    if isinstance(error, Cancelled):
        return ModelSwitching("The answer was cut before it was complete.")
    if is_out_of_memory(error):
        return OutOfMemory(NO_MEMORY)
    if isinstance(error, torch.AcceleratorError):
        # The card's context is lost with it: only a new process can compute again.
        return EngineCrashed(
            "The graphics card failed while computing; the engine is being restarted. "
            "Send the request again."
        )
    return GenerationFailed(
        f"The answer could not be computed ({type(error).__name__}). The log has the details; "
        "try again or load the model again."
    )


def of_load(error: Exception, name: str) -> WebUIError:
    """What the web process is told of `error` when it ended the load of checkpoint `name`."""
    if isinstance(error, GenerationFailed):
        return CheckpointError(f"{name} was read, but a first short answer failed. {error.message}")
    if isinstance(error, WebUIError) or is_out_of_memory(error):
        return translated(error)
    if isinstance(error, torch.AcceleratorError):
        return translated(error)
    if isinstance(error, SafetensorError):
        return CheckpointError(
            f"The weights of {name} cannot be read: a safetensors file is damaged or incomplete. "
            "Fetch it again."
        )
    reason = PATH.sub("...", str(error).strip().split("\n")[0])[:200]
    return CheckpointError(
        f"{name} cannot be loaded ({type(error).__name__}: {reason}). The log has the details."
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Of the card or of the machine."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in OUT_OF_MEMORY)


def copied(error: Exception) -> Exception:
    """The same for one thread more, without a traceback: that is written by whoever raises it,
    and may hold what filled the memory."""
    own = type(error).__new__(type(error), *error.args)
    own.__dict__.update(error.__dict__)
    return own
