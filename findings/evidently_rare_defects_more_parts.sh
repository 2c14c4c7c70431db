#!/usr/bin/env bash
# Evidently: whether the share of defective parts has drifted, by its DataDriftPreset at the defaults.
#
# One would guess: the more parts are compared, the smaller a change is found; a share that has grown to its fourfold,
# and is found among 1000 parts, is found among 20000.
# Seen: Evidently 0.7.23 compares shares by a Z-test up to 1000 parts, and finds 1 % to 4 % or 0.1 % to 1 %. From 1001
# parts in the reference on, it takes the Jensen-Shannon distance (as it says in its documentation, for large data), and
# there is drift from 0.1 on whatever the number of parts: this is reached by rare classes only where they grow to about
# their sixfold from 1 %, and not by a growth from 0.1 % to 1 %. So four times the defects are no drift among 1001 parts
# or 20000, where a chi-squared test has p = 5e-82, and one part more turns an alarm off. All in one column of a
# balanced share, a change from 50 % to 60 % is as little. cat_method="chisquare" finds it.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/drift.py" <<'PROGRAM'
import numpy as np
import pandas
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset
from scipy.stats import chi2_contingency


def parts(count, share):
    column = np.where(np.arange(count) < round(count * share), "defective", "sound")
    frame = pandas.DataFrame({"part": column})
    return Dataset.from_pandas(frame, data_definition=DataDefinition(categorical_columns=["part"]))


def drift(count, before, after, **method):
    report = Report([DataDriftPreset(**method)]).run(parts(count, after), parts(count, before)).dict()
    overall, column = report["metrics"]
    name = column["metric_name"].split("method=")[1].rstrip(")")
    found = "drift" if overall["value"]["count"] else "no drift"
    return f"{found} ({name.replace(',', ', ')}: {column['value']:.2g})"


for before, after in (0.01, 0.04), (0.001, 0.01), (0.01, 0.06), (0.5, 0.6):
    print(f"{before:.1%} to {after:.1%} defective")
    for count in 1000, 1001, 20000:
        table = [[round(count * share), count - round(count * share)] for share in (before, after)]
        print(f"    {count} parts: {drift(count, before, after)}; chi-squared p = {chi2_contingency(table).pvalue:.0e}")
print("1.0% to 4.0% defective, 20000 parts, by cat_method:", drift(20000, 0.01, 0.04, cat_method="chisquare"))
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    evidently==0.7.23 pandas==2.3.3 scipy==1.17.1 scikit-learn==1.9.1 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" -W ignore "$scratch/drift.py" | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
1.0% to 4.0% defective
    1000 parts: drift (Z-test p_value, threshold=0.05: 1.7e-05); chi-squared p = 3e-05
    1001 parts: no drift (Jensen-Shannon distance, threshold=0.1: 0.07); chi-squared p = 3e-05
    20000 parts: no drift (Jensen-Shannon distance, threshold=0.1: 0.07); chi-squared p = 5e-82
0.1% to 1.0% defective
    1000 parts: drift (Z-test p_value, threshold=0.05: 0.0065); chi-squared p = 2e-02
    1001 parts: no drift (Jensen-Shannon distance, threshold=0.1: 0.046); chi-squared p = 2e-02
    20000 parts: no drift (Jensen-Shannon distance, threshold=0.1: 0.046); chi-squared p = 1e-33
1.0% to 6.0% defective
    1000 parts: drift (Z-test p_value, threshold=0.05: 1.2e-09); chi-squared p = 2e-09
    1001 parts: drift (Jensen-Shannon distance, threshold=0.1: 0.1); chi-squared p = 2e-09
    20000 parts: drift (Jensen-Shannon distance, threshold=0.1: 0.1); chi-squared p = 1e-162
50.0% to 60.0% defective
    1000 parts: drift (Z-test p_value, threshold=0.05: 7e-06); chi-squared p = 9e-06
    1001 parts: no drift (Jensen-Shannon distance, threshold=0.1: 0.072); chi-squared p = 7e-06
    20000 parts: no drift (Jensen-Shannon distance, threshold=0.1: 0.071); chi-squared p = 9e-90
1.0% to 4.0% defective, 20000 parts, by cat_method: drift (chisquare, threshold=0.05: 0)
SEEN
