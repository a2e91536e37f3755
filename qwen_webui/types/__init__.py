"""The values that cross module and process boundaries.

Frozen dataclasses over the standard library only, so that every process can import them. No
behaviour beyond building one value from another.
"""

from qwen_webui.types.asking import (
    Ask,
    ChatTurn,
    GenerationRequest,
    ToolChoice,
)
from qwen_webui.types.checkpoints import (
    FEW_AT_ONCE,
    PRECISIONS,
    USES,
    CheckpointSpec,
    Device,
    Dtype,
    EngineInfo,
    EnginePath,
    LoadPlan,
    MemoryForecast,
    MemoryUse,
    ModelShape,
    Precision,
    Use,
)
from qwen_webui.types.events import (
    Finished,
    FinishReason,
    GenerationEvent,
    LeftOut,
    Progress,
    Queued,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from qwen_webui.types.messages import (
    Message,
    Role,
    ToolCall,
)
from qwen_webui.types.reading import (
    AskedDocument,
    CallRead,
    Citation,
    Citations,
    ReadingMode,
    ReadingStep,
    Sources,
    Span,
    Verdict,
)
from qwen_webui.types.sampling import (
    Constraint,
    ConstraintKind,
    Sampling,
)
from qwen_webui.types.scoring import (
    MOST_IDS,
    MOST_NUMBERS,
    MOST_POSITIONS,
    DistributionRequest,
    Distributions,
)
from qwen_webui.types.status import (
    ModelStatus,
    SwapReport,
)

__all__ = [
    "FEW_AT_ONCE",
    "MOST_IDS",
    "MOST_NUMBERS",
    "MOST_POSITIONS",
    "PRECISIONS",
    "USES",
    "Ask",
    "AskedDocument",
    "CallRead",
    "ChatTurn",
    "CheckpointSpec",
    "Citation",
    "Citations",
    "Constraint",
    "ConstraintKind",
    "Device",
    "DistributionRequest",
    "Distributions",
    "Dtype",
    "EngineInfo",
    "EnginePath",
    "FinishReason",
    "Finished",
    "GenerationEvent",
    "GenerationRequest",
    "LeftOut",
    "LoadPlan",
    "MemoryForecast",
    "MemoryUse",
    "Message",
    "ModelShape",
    "ModelStatus",
    "Precision",
    "Progress",
    "Queued",
    "ReadingMode",
    "ReadingStep",
    "Role",
    "Sampling",
    "Sources",
    "Span",
    "SwapReport",
    "TextDelta",
    "TokenLogprob",
    "ToolCall",
    "ToolCallDelta",
    "ToolChoice",
    "Usage",
    "Use",
    "Verdict",
]
