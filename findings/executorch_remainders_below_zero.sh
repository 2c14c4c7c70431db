#!/usr/bin/env bash
# ExecuTorch: whole numbers that go round (%, torch.remainder): columns of an unrolled roller counted from its seam,
# directions of scratches in degrees.
#
# One would guess: the remainder has the sign of the divisor, as in PyTorch and Python, and as for floats.
# Seen: with executorch 1.5.1 and PyTorch 2.13.0, it has the sign of the number for integers of all sizes, so that what
# lies before the seam gets a column below 0, and a defect there is missing from the counts by quarters. Floats are
# right, and so is // for integers, so that x - x // n * n isn't x % n there. Nothing warns. By its source
# (math_util.h), the sign is corrected for floats alone, since pull request 90 of pytorch/executorch, and the integers
# have C++'s %. No issue was found that says so; torch-mlir had the like (issue 3575 of llvm/torch-mlir, closed).
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
    """What a function gives in ExecuTorch."""

    class Network(torch.nn.Module):
        def forward(self, *arrays):
            return function(*arrays)

    program = to_edge(torch.export.export(Network(), inputs)).to_executorch()
    method = Runtime.get().load_program(program.buffer).load_method("forward")
    return torch.as_tensor(method.execute(list(inputs))[0])


def show(name, function, *inputs):
    seen, expected = run(function, *inputs).tolist(), function(*inputs).tolist()
    print(f"seen: {name}: {seen}, {'right' if seen == expected else f'PyTorch {expected}'}")


numbers = torch.tensor([-7, -6, -1, 0, 1, 7])
for kind in torch.int8, torch.int16, torch.int32, torch.int64, torch.float32:
    show(f"% 3 of {kind}", lambda x: x % 3, numbers.to(kind))
show("remainder by an array of int32", torch.remainder, numbers.int(), torch.full((6,), 3, dtype=torch.int32))
show("// 3 of int32", lambda x: x // 3, numbers.int())
show("x - x // 3 * 3 of int32", lambda x: x - x // 3 * 3, numbers.int())

WIDTH = 64
defects, seam = torch.tensor([2, 30, 50, 61]), torch.tensor([10])
show("columns of defects from the seam at column 10", lambda x, y: (x - y) % WIDTH, defects, seam)
directions = torch.tensor([-80, -30, 0, 45, 90])
show("directions of scratches, from 0 to 179", lambda x: x % 180, directions)
show(
    "defects in each quarter from the seam",
    lambda x, y: ((x - y) % WIDTH // 16)[:, None].eq(torch.arange(4)).sum(0),
    defects,
    seam,
)
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --no-compile --target "$scratch/site" \
    executorch==1.5.1 torch==2.13.0 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" >"$scratch/log" 2>&1 || tail "$scratch/log"
sed -n 's/^seen: //p' "$scratch/log" | tee "$scratch/seen"

# Output seen on 2026-12-01.
diff - "$scratch/seen" <<'SEEN'
% 3 of torch.int8: [-1, 0, -1, 0, 1, 1], PyTorch [2, 0, 2, 0, 1, 1]
% 3 of torch.int16: [-1, 0, -1, 0, 1, 1], PyTorch [2, 0, 2, 0, 1, 1]
% 3 of torch.int32: [-1, 0, -1, 0, 1, 1], PyTorch [2, 0, 2, 0, 1, 1]
% 3 of torch.int64: [-1, 0, -1, 0, 1, 1], PyTorch [2, 0, 2, 0, 1, 1]
% 3 of torch.float32: [2.0, -0.0, 2.0, 0.0, 1.0, 1.0], right
remainder by an array of int32: [-1, 0, -1, 0, 1, 1], PyTorch [2, 0, 2, 0, 1, 1]
// 3 of int32: [-3, -2, -1, 0, 0, 2], right
x - x // 3 * 3 of int32: [2, 0, 2, 0, 1, 1], right
columns of defects from the seam at column 10: [-8, 20, 40, 51], PyTorch [56, 20, 40, 51]
directions of scratches, from 0 to 179: [-80, -30, 0, 45, 90], PyTorch [100, 150, 0, 45, 90]
defects in each quarter from the seam: [0, 1, 1, 1], PyTorch [0, 1, 1, 2]
SEEN
