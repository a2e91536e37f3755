"""The page: Gradio Blocks at "/", its own small routes under /ui, and its texts."""
