import os
import subprocess
import sys

import pytest

from dms_jax.runtime.cores import usable_cores


def test_a_process_that_may_use_one_processor_counts_one() -> None:
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("only Linux tells which processors a process may run on")
    assert usable_cores() == len(os.sched_getaffinity(0))
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    code += "from dms_jax.runtime.cores import usable_cores; print(usable_cores())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"
