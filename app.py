"""The launch script: `python app.py --quantize gptq-int4`. Everything is in qwen_webui.cli."""

import sys

from qwen_webui.cli import main

if __name__ == "__main__":
    sys.exit(main())
