"""Which checkpoints there are, what a name or folder means, and how files get onto this disk."""

from qwen_webui.checkpoints.catalogue import catalogue, licence_notice
from qwen_webui.checkpoints.choice import Choice, choose
from qwen_webui.checkpoints.external import ExternalLibrary
from qwen_webui.checkpoints.folders import describe_folder, verify_folder
from qwen_webui.checkpoints.library import Library

__all__ = [
    "Choice",
    "ExternalLibrary",
    "Library",
    "catalogue",
    "choose",
    "describe_folder",
    "licence_notice",
    "verify_folder",
]
