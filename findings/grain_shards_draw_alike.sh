#!/usr/bin/env bash
# grain: random transforms of a MapDataset that is divided among the processes of a training.
#
# One would guess: in MapDataset.source(...).seed(0)[process::processes].random_map(augment) each image is augmented by
# itself, whichever process reads it, since the draws belong to the image's place in the dataset; and .shuffle() after
# the slice is another order in each process.
# Seen: with grain 0.2.18 every process draws the same numbers: the first image of each process is turned, cropped and
# brightened alike, and so on to the last, so that a batch of 8 processes has an eighth of the augmentations that it
# seems to have. A slice that is shuffled is shuffled alike in all: neighbours in the source, such as the frames of one
# part, come in the same batch in every epoch. The generator is a function of the seed and of the place among what the
# transform is given, which is the place in the slice. With random_map (and shuffle) before the slice, which takes no
# longer, since nothing is computed before it is asked for, the draws are those of one process. In grain.DataLoader,
# whose generator is made of the sampler's number, which no two processes share, each record of an epoch has draws of
# its own.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" grain==0.2.18
cat >"$scratch/measure.py" <<'PROGRAM'
import grain

COUNT, PROCESSES = 12, 3


def draw(number, generator):
    return int(number), int(generator.integers(1000))


class Draw(grain.transforms.RandomMap):
    def random_map(self, element, rng):
        return draw(element, rng)


def elements(dataset):
    return [dataset[index] for index in range(len(dataset))]


def loaded(process):
    options = grain.sharding.ShardOptions(process, PROCESSES, drop_remainder=True)
    sampler = grain.samplers.IndexSampler(COUNT, shard_options=options, shuffle=False, num_epochs=1, seed=0)
    source = grain.sources.RangeDataSource(0, COUNT, 1)
    loader = grain.DataLoader(data_source=source, sampler=sampler, operations=[Draw()])
    return [tuple(map(int, pair)) for pair in loader]


def drawn(shard):
    return [number for _, number in shard]


def joined(shards):
    return [pair for shard in shards for pair in shard]


seeded = grain.MapDataset.range(COUNT).seed(0)
whole = elements(seeded.random_map(draw))
after = [elements(seeded[process::PROCESSES].random_map(draw)) for process in range(PROCESSES)]
before = [elements(seeded.random_map(draw)[process::PROCESSES]) for process in range(PROCESSES)]
orders = [elements(seeded[process::PROCESSES].shuffle().repeat(2)) for process in range(PROCESSES)]
loader = [loaded(process) for process in range(PROCESSES)]
print("slice, then random_map:", *after, sep="\n    ")
print("random_map, then slice:", *before, sep="\n    ")
print("slice, then shuffle, two epochs:", *orders, sep="\n    ")
print("DataLoader:", *loader, sep="\n    ")

assert all(drawn(shard) == drawn(after[0]) for shard in after)
assert len(set(drawn(after[0]))) == COUNT // PROCESSES
assert sorted(joined(before)) == sorted(whole) != sorted(joined(after))
first, *others = [[number // PROCESSES for number in order] for order in orders]
assert all(other == first for other in others)
assert first != sorted(first)
assert len(set(drawn(joined(loader)))) == COUNT
PROGRAM
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" 2>/dev/null
