"""From a folder of files to a torch model on the device. Generates nothing.

transformers does the reading; the checkpoint's own quantization_config decides what it is.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import psutil
import torch
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PretrainedConfig
from transformers.utils import logging as noise

from qwen_webui.engines.kernels import quantization
from qwen_webui.errors import CheckpointError
from qwen_webui.memory import FLOAT32_PARAMETERS
from qwen_webui.types import Dtype, LoadPlan, Sampling

# A Qwen2ForCausalLM. What transformers declares of it and of generate() does not fit together.
Model = Any

# Below this many parameters threads cost more than they give (measured on two cores: 147 tokens/s
# with one thread, 148 with two; beside other work 164 and 61), and the page wants a core too.
ONE_THREAD_PARAMETERS = 50_000_000


def read_config(plan: LoadPlan) -> PretrainedConfig:
    """config.json, with YaRN switched on where the plan says so."""
    _quieten()
    config: PretrainedConfig = AutoConfig.from_pretrained(
        plan.folder, local_files_only=True, trust_remote_code=False
    )
    if plan.yarn_factor > 1.0:
        trained = {"original_max_position_embeddings": config.max_position_embeddings}
        stretched = {"rope_type": "yarn", "factor": plan.yarn_factor}
        config.rope_parameters = {**trained, **config.rope_parameters, **stretched}
    return config


def choose_dtype(plan: LoadPlan, config: PretrainedConfig) -> Dtype:
    """What to compute in: as asked, else what this checkpoint and this device do best."""
    if plan.device == "cuda":
        if quantization(config) is not None:
            return "float16"
        return plan.dtype or ("bfloat16" if torch.cuda.is_bf16_supported() else "float16")
    large = plan.spec.shape.parameters > FLOAT32_PARAMETERS
    return plan.dtype or ("bfloat16" if large else "float32")


def threads_for(plan: LoadPlan) -> int:
    """Threads that torch should take for one request on the CPU."""
    small = plan.spec.shape.parameters < ONE_THREAD_PARAMETERS
    return 1 if small else max(1, psutil.cpu_count(logical=False) or 1)


def read_model(plan: LoadPlan, config: PretrainedConfig, dtype: Dtype, kernel: str | None) -> Model:
    """The model, on the device, ready for inference; `kernel` is one of kernels.candidates.

    Raises CheckpointError for weights that the files do not hold: the library would invent them.
    """
    if kernel is not None:
        config.quantization_config = {**(quantization(config) or {}), "backend": kernel}
    found: Any = AutoModelForCausalLM.from_pretrained(
        plan.folder,
        config=config,
        dtype=getattr(torch, dtype),
        device_map={"": plan.device},
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        attn_implementation="sdpa",
        output_loading_info=True,
    )
    model: Model
    model, told = found
    if missing := sorted(told["missing_keys"]):
        raise CheckpointError(
            f"{len(missing)} of the model's weights are not in its files, the first is "
            f"{missing[0]}. Download the checkpoint again, or use another."
        )
    model.eval()
    return model


def generation_config(plan: LoadPlan, config: PretrainedConfig) -> GenerationConfig:
    """What the checkpoint says of sampling, as `from_pretrained` finds it."""
    if has_generation_config(plan.folder):
        return GenerationConfig.from_pretrained(plan.folder, local_files_only=True)
    return GenerationConfig.from_model_config(config)


def sampling_defaults(said: GenerationConfig) -> Sampling:
    """The checkpoint's own sampling, complete. Without `do_sample` it means greedy."""
    temperature = 1.0 if said.temperature is None else float(said.temperature)
    return Sampling(
        temperature=temperature if said.do_sample else 0.0,
        top_p=_or(said.top_p, 1.0),
        top_k=int(_or(said.top_k, 0)),
        min_p=_or(said.min_p, 0.0),
        repetition_penalty=_or(said.repetition_penalty, 1.0),
        presence_penalty=0.0,
        frequency_penalty=0.0,
    )


def weights_bytes(model: Model) -> int:
    """Bytes of parameters and buffers as loaded, shared ones once."""
    tensors = {t.data_ptr(): t.nbytes for t in (*model.parameters(), *model.buffers())}
    return sum(tensors.values())


def has_generation_config(folder: str) -> bool:
    """Whether the checkpoint says how it wants to be sampled."""
    return (Path(folder) / "generation_config.json").is_file()


def _quieten() -> None:
    """Foreign noise, by name. The log keeps what is left."""
    noise.disable_progress_bar()
    # Its load report calls AutoGPTQ's biases of zeros unexpected; test_layouts.py has them.
    noise.set_verbosity_error()
    # optimum 2.3 asks transformers 5.23 in an old way.
    warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)


def _or(value: float | None, default: float) -> float:
    return default if value is None else float(value)
