"""What the program measures: speed (speed/), fidelity (fidelity/) and, while it runs, the machine
(monitor/). Forecasts are memory.py's, choices advice/'s; nothing here loads torch itself."""
