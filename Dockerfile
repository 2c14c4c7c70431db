# docker build -t dms-jax .                                        for CPUs
# docker build -t dms-jax --build-arg EXTRAS=cuda,onnx,export .    for NVIDIA GPUs: docker run --gpus all
# docker run -v "$PWD/runs:/work/runs" dms-jax                     the quickstart; its report is runs/quickstart/report.html
# docker run -v DATA:/data -v "$PWD/runs:/work/runs" dms-jax dms-jax predict --workdir runs/mine --images /data --output runs/out
FROM python:3.13-slim

ARG EXTRAS=onnx,export

WORKDIR /work
COPY pyproject.toml setup.py README.md LICENSE train.py ./
COPY configs configs
COPY dms_jax dms_jax
RUN pip install --no-cache-dir ".[${EXTRAS}]"

# Compiled programs and prepared datasets outlast the container where this is a volume.
ENV XDG_CACHE_HOME=/work/runs/.cache \
    TFDS_DATA_DIR=/work/runs/.data \
    PYTHONUNBUFFERED=1

CMD ["python", "train.py", "--config=configs/quickstart.py"]
