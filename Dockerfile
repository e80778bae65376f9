# Two images from one file: `app` (API, migration, Flower; no torch) and `worker`.
# `make digests` finds the digest of what the tag means today (docs/decisions/0017-locked-by-hash.md).
ARG PYTHON_IMAGE=python:3.11-slim
FROM ${PYTHON_IMAGE} AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
# Only files whose hash is in the lock, each of them ready made.
ENV LOCKED="--require-hashes --no-deps --only-binary :all:"
RUN useradd --system --create-home --uid 10001 textmill \
 && mkdir -p /var/lib/textmill /var/cache/huggingface \
 && chown textmill /var/lib/textmill /var/cache/huggingface
WORKDIR /srv/textmill
COPY requirements requirements
COPY pyproject.toml README.md LICENSE ./

FROM base AS app
RUN pip install $LOCKED -r requirements/app.lock
COPY textmill textmill
COPY api api
COPY jobs jobs
COPY workers workers
COPY models models
RUN pip install --no-deps --no-build-isolation -e .
USER textmill

FROM base AS worker
# OpenMP's threads, for what numba compiles.
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
RUN pip install $LOCKED -r requirements/worker.lock
# Where torch comes from. Empty: the package index, whose Linux build carries CUDA, by its hashes.
# For a smaller image without CUDA: --build-arg TORCH_INDEX=<PyTorch's CPU index>; those files are in no lock.
ARG TORCH_INDEX=
RUN if [ -z "$TORCH_INDEX" ]; then pip install $LOCKED -r requirements/torch.lock; \
    else pip install --index-url "$TORCH_INDEX" "torch==$(sed -n 's/^torch==\([^ ]*\).*/\1/p' requirements/torch.lock)"; fi
COPY textmill textmill
COPY api api
COPY jobs jobs
COPY workers workers
COPY models models
RUN pip install --no-deps --no-build-isolation -e .
USER textmill
