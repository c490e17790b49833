# An image with disbench and everything that training needs. NOT TESTED: no maintainer has built this file yet.
#
#   docker build -t disbench .                                                        CPU
#   docker build -t disbench:cuda --build-arg BASE=nvidia/cuda:13.0.2-base-ubuntu24.04 .   CUDA, with the base's Python 3.12
#   docker run --rm --gpus all -v "$PWD/runs:/work/runs" disbench:cuda run quick --out runs/quick
#
# The CUDA base is small, because torch's wheels contain the CUDA libraries. TORCH_INDEX is a package index with another build of torch:
# a build for CPUs alone makes the image much smaller.
ARG BASE=python:3.11-slim
FROM ${BASE}

ARG TORCH_INDEX=""
ENV PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1 PYTHONSAFEPATH=1 MPLBACKEND=Agg PATH="/opt/disbench/bin:$PATH"

RUN command -v python3 >/dev/null && python3 -m venv --help >/dev/null 2>&1 \
    || (apt-get update && apt-get install -y --no-install-recommends python3 python3-venv && rm -rf /var/lib/apt/lists/*)

WORKDIR /src
COPY . .
RUN python3 -m venv /opt/disbench \
    && if [ -n "$TORCH_INDEX" ]; then pip install --index-url "$TORCH_INDEX" torch torchvision; fi \
    && pip install '.[train]' \
    && rm -rf /src/*

WORKDIR /work
ENTRYPOINT ["disbench"]
CMD ["--help"]
