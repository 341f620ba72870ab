# The environment of requirements.lock, for machines without Python; the code is that of the folder it works in.
#
#   docker build --tag lethe .
#   docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD:$PWD" --workdir "$PWD" lethe snakemake
#
# On a cluster, with Apptainer instead of Docker:
#
#   docker save lethe --output lethe.tar            # where it was built
#   apptainer build lethe.sif docker-archive:lethe.tar
#   apptainer exec lethe.sif snakemake              # all in one job of the cluster's
#   snakemake --profile profiles/slurm --sdm apptainer   # each job in the container, if Snakemake itself is there
#
# With GPUs: `docker run --gpus all`, `apptainer exec --nv`, `snakemake --sdm apptainer --apptainer-args --nv`.
FROM python:3.11-slim-bookworm

RUN apt-get update \
    && apt-get install --yes --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/lethe
COPY requirements.lock ./
RUN pip install --no-cache-dir --requirement requirements.lock

COPY pyproject.toml README.md LICENSE NOTICE ./
COPY src ./src
RUN pip install --no-cache-dir --no-deps --no-build-isolation .

# A user without an entry in /etc/passwd has neither home nor name; caches go where anyone can write.
ENV HOME=/tmp USER=lethe
CMD ["snakemake"]
