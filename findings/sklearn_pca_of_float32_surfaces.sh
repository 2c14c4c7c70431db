#!/usr/bin/env bash
# scikit-learn: the principal components (PCA, with its defaults) of many patches of a smooth surface, in float32, to
# find defects by: what the components do not reconstruct.
#
# One would guess: PCA centres the features before all else (its docstring says of the solver that is taken: "covariance
# matrix (on centered data)"), so that a surface of grey 0.8 with a deviation of 0.01 gives the components of the same
# patches less 0.8; and a component's explained_variance_ is the variance of the patches along it.
# Seen: since "auto" takes "covariance_eigh" for fewer than 1000 features and more than ten times as many patches,
# scikit-learn 1.9.1 multiplies the patches as they are, and takes off the product of the means, which were summed in
# float32 row by row: of 300000 patches they are 0.00008 off, a hundredth of the deviation, and the product makes a
# component of it that is as large as the textures. The third of them has a variance of 14 (in squares of the
# deviation) that the patches do not have (0.4 along it), and takes the place of a texture: three components leave 27
# unexplained instead of 19. Of 10000 patches it is the fourth (0.7 for 0.2). Nothing warns. float64, or the mean taken
# off beforehand, gives the right ones; so do bytes as they are while their sums stay below 16777216, as in float32 they
# are exact.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/components.py" <<'PROGRAM'
import numpy as np
from sklearn.decomposition import PCA

DEVIATION = 0.01
rng = np.random.default_rng(0)
columns = np.mgrid[:8, :8][1] - 3.5


def surface(count):
    """8 x 8 patches of grey 0.8: grain, and three textures."""
    patches = rng.normal(size=(count, 64))
    for texture in 0.4 * columns, 0.4 * columns.T, np.sin(columns):
        patches += rng.normal(size=(count, 1)) * texture.ravel()
    patches -= patches.mean(axis=1, keepdims=True)
    return 0.8 + DEVIATION * patches / patches.std()


for count in 10_000, 300_000:
    patches = surface(count)
    mean = patches.mean(axis=0)
    cases = {
        "float64": patches,
        "float32": patches.astype(np.float32),
        "float32, less its mean": (patches - mean).astype(np.float32),
    }
    for name, case in cases.items():
        pca = PCA(4).fit(case)
        seen = pca.transform(case).astype(float).var(axis=0)
        three = PCA(3).fit(case)
        error = np.square(case - three.inverse_transform(three.transform(case)), dtype=float).sum(axis=1).mean()
        explained = pca.explained_variance_ / DEVIATION**2
        phantoms = [place for place, ratio in enumerate(seen / pca.explained_variance_, 1) if ratio < 0.5]
        print(f"{count} patches, {name} ({pca._fit_svd_solver})")
        print(f"  variance of the third {explained[2]:.0f}; not there: {phantoms}")
        print(f"  unexplained by three components {error / DEVIATION**2:.0f}")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" scikit-learn==1.9.1 scipy==1.17.1 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/components.py" | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
10000 patches, float64 (covariance_eigh)
  variance of the third 8; not there: []
  unexplained by three components 20
10000 patches, float32 (covariance_eigh)
  variance of the third 8; not there: [4]
  unexplained by three components 20
10000 patches, float32, less its mean (covariance_eigh)
  variance of the third 8; not there: []
  unexplained by three components 20
300000 patches, float64 (covariance_eigh)
  variance of the third 7; not there: []
  unexplained by three components 19
300000 patches, float32 (covariance_eigh)
  variance of the third 14; not there: [3]
  unexplained by three components 27
300000 patches, float32, less its mean (covariance_eigh)
  variance of the third 7; not there: []
  unexplained by three components 19
SEEN
