# One container: the page and the API on port 7860, everything that is kept in /data.
#
#   docker build -t qwen-webui .
#   docker run --gpus all -p 7860:7860 -v qwen-data:/data qwen-webui --quantize gptq-int4
#
# Without QWEN_WEBUI_API_KEY a key is made at the start; the container's log shows the address that
# logs in. torch brings the CUDA libraries, so the base needs none: the host gives the driver alone.
# What quantises is not in the image: the extra `quantize` has parts that need a compiler.
FROM python:3.12-slim-bookworm AS build

WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY qwen_webui qwen_webui
COPY personas personas
RUN python -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir -c constraints.txt .


FROM python:3.12-slim-bookworm

# tini passes signals on and takes zombies away; tesseract reads scanned pages.
RUN apt-get update \
 && apt-get install -y --no-install-recommends tini tesseract-ocr tesseract-ocr-chi-sim \
 && rm -rf /var/lib/apt/lists/*

COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY app.py ./
RUN mkdir -m 1777 /data

# Marketplaces start containers as root or as a user of their own: either can write to /data.
ENV PATH=/opt/venv/bin:$PATH \
    QWEN_WEBUI_HOST=0.0.0.0 \
    QWEN_WEBUI_PORT=7860 \
    QWEN_WEBUI_DATA_DIR=/data/qwen-webui \
    PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD \
  ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ['QWEN_WEBUI_PORT']}/healthz\", timeout=4)"]

ENTRYPOINT ["tini", "--", "python", "app.py"]
