"""`qwen-webui quantize`: an unquantised Qwen2.5 checkpoint to GPTQ-Int8, GPTQ-Int4 or AWQ-Int4.

request.py      what is asked, and everything that can be refused before torch is loaded
calibration.py  the token sequences on which the quantiser measures
files.py        the written folder: our config, the source's own tokenizer, no trace of the machine
compress.py     the quantiser itself (gptqmodel)
trial.py        reloads the result and lets it speak before anyone is told that it is done
quiet.py        keeps the libraries' own printing away
command.py      the order of these, and the folder that appears only when all went well
"""

from qwen_webui.quantize.command import quantize
from qwen_webui.quantize.request import QuantizeRequest

__all__ = ["QuantizeRequest", "quantize"]
