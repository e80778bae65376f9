# Two images from one file: `app` (API, migration, Flower; no torch) and `worker`.
FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN useradd --system --create-home --uid 10001 textmill \
 && mkdir -p /var/lib/textmill /var/cache/huggingface \
 && chown textmill /var/lib/textmill /var/cache/huggingface
WORKDIR /srv/textmill
COPY requirements.lock pyproject.toml README.md LICENSE ./

FROM base AS app
COPY textmill textmill
COPY api api
COPY jobs jobs
COPY workers workers
COPY models models
RUN pip install -c requirements.lock setuptools \
 && pip install -c requirements.lock --no-build-isolation -e '.[postgres,flower]'
USER textmill

FROM base AS worker
# OpenMP's threads, for what numba compiles.
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
# Where torch comes from. Empty: pip's own index, whose Linux build carries CUDA.
# For a smaller image without CUDA: --build-arg TORCH_INDEX=<PyTorch's CPU index>.
ARG TORCH_INDEX=
RUN pip install -c requirements.lock ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch \
 && pip install -c requirements.lock setuptools
COPY textmill textmill
COPY api api
COPY jobs jobs
COPY workers workers
COPY models models
RUN pip install -c requirements.lock --no-build-isolation -e '.[worker,postgres]'
USER textmill
