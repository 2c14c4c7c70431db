#!/usr/bin/env bash
# One run on all GPUs of two nodes: sbatch deploy/slurm.sh runs/mine bdms:recipe=scratch [--config.FIELD=VALUE ...]
# The same command again resumes it. The first argument is on storage that all nodes share.
#SBATCH --job-name=dms-jax
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=08:00:00
#SBATCH --signal=TERM@180
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.txt
set -euo pipefail

workdir=${1:?name the work directory} config=${2:?name the configuration}
# One task a node has all of its GPUs. TERM comes three minutes before the end: the step is saved, and all tasks end.
# When the job is preempted, SLURM starts it anew, and it resumes.
srun --kill-on-bad-exit=1 --label dms-jax train --config="$config" --workdir="$workdir" "${@:3}"
