#!/usr/bin/env bash
# ExecuTorch: the places of defective pixels, by torch.nonzero or argwhere at the end of a network.
#
# One would guess: rows and columns of each pixel, as PyTorch gives them, in the same order.
# Seen: with executorch 1.5.1 and PyTorch 2.13.0, rows and columns come in the wrong pairs: they are written pixel by
# pixel and read as all rows, then all columns, so that four pixels become four others, with columns among the rows.
# Sums of them that the network itself takes are wrong too; an operator that checks the order of axes, such as amax,
# stops with error 0x12 instead. A single pixel and a line are right, as both orders are the same there, so that a test
# with one defect doesn't show it. Nothing warns. By its source, the exported program takes the order of axes (1, 0)
# from PyTorch's own result, which is stored so, and the portable kernel (op_nonzero.cpp) writes pixel by pixel whatever
# that order is. (So a C++ program that ignores the order reads them right.) Issues tell of other operators with such
# orders (11086 and 21865 of pytorch/executorch); none was found of this one.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import torch
from executorch.exir import to_edge
from executorch.runtime import Runtime


def run(function, *inputs):
    """What a function gives in ExecuTorch, and what it gives in PyTorch, as lists."""

    class Network(torch.nn.Module):
        def forward(self, *images):
            return function(*images)

    program = to_edge(torch.export.export(Network(), inputs)).to_executorch()
    method = Runtime.get().load_program(program.buffer).load_method("forward")
    return [torch.as_tensor(each).tolist() for each in (method.execute(list(inputs))[0], function(*inputs))]


def show(name, function, *inputs):
    seen, expected = run(function, *inputs)
    print(f"seen: {name}: {seen}, {'right' if seen == expected else f'PyTorch {expected}'}")


scores = torch.zeros(48, 64)
for row, column in (3, 50), (20, 7), (20, 8), (41, 30):
    scores[row, column] = 0.9
single = torch.zeros(48, 64)
single[20, 7] = 0.9
show("defective pixels", lambda image: (image > 0.5).nonzero(), scores)
show("by argwhere", lambda image: torch.argwhere(image > 0.5), scores)
show("in a batch", lambda image: (image > 0.5).nonzero(), scores[None, :21])
show("sums of rows and columns, in the network", lambda image: (image > 0.5).nonzero().sum(0), scores)
show("one defective pixel", lambda image: (image > 0.5).nonzero(), single)
show("of one line", lambda line: (line > 0.5).nonzero(), scores[20])
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --no-compile --target "$scratch/site" \
    executorch==1.5.1 torch==2.13.0 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" >"$scratch/log" 2>&1 || tail "$scratch/log"
sed -n 's/^seen: //p' "$scratch/log" | tee "$scratch/seen"

# Output seen on 2026-12-01.
diff - "$scratch/seen" <<'SEEN'
defective pixels: [[3, 20], [50, 8], [20, 41], [7, 30]], PyTorch [[3, 50], [20, 7], [20, 8], [41, 30]]
by argwhere: [[3, 20], [50, 8], [20, 41], [7, 30]], PyTorch [[3, 50], [20, 7], [20, 8], [41, 30]]
in a batch: [[0, 0, 0], [3, 20, 20], [50, 7, 8]], PyTorch [[0, 3, 50], [0, 20, 7], [0, 20, 8]]
sums of rows and columns, in the network: [80, 99], PyTorch [84, 95]
one defective pixel: [[20, 7]], right
of one line: [[7], [8]], right
SEEN
