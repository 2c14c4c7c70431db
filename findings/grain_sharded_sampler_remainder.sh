#!/usr/bin/env bash
# grain: an IndexSampler whose records are divided among shards, with drop_remainder=False.
#
# One would guess: 10 records among 3 shards are read as 4, 3 and 3 in an epoch, each of them once.
# Seen: with grain 0.2.18, the first shard, which has four records, is read as three for each epoch asked for: with
# num_epochs=1 the record number 3 never comes, with and without a shuffle (of a shard among itself), and with num_epochs=2
# two of its records come once instead of twice. drop_remainder=True leaves a record out too, and warns of it; False says
# nothing. The slices MapDataset.source(...)[shard::3] have all ten.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" grain==0.2.18
cat >"$scratch/measure.py" <<'PROGRAM'
import grain

source = grain.sources.RangeDataSource(0, 10, 1)


def of_sampler(shard, shuffle, epochs):
    options = grain.sharding.ShardOptions(shard, 3, drop_remainder=False)
    sampler = grain.samplers.IndexSampler(10, shard_options=options, shuffle=shuffle, num_epochs=epochs, seed=0)
    return [int(record) for record in grain.DataLoader(data_source=source, sampler=sampler)]


for shuffle in (False, True):
    for epochs in (1, 2):
        shards = [of_sampler(shard, shuffle, epochs) for shard in range(3)]
        print(f"shuffle={shuffle}, num_epochs={epochs}: {shards}")
        assert [len(shard) for shard in shards] == [3 * epochs] * 3
        assert len({record for shard in shards for record in shard}) == (9 if epochs == 1 else 10)
slices = [[int(record) for record in grain.MapDataset.source(source)[shard::3]] for shard in range(3)]
print(f"slices: {slices}")
assert sorted(record for part in slices for record in part) == list(range(10))
PROGRAM
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" 2>/dev/null
