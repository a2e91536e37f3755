"""The same prompts through several checkpoints, side by side: what was asked and what came out."""
