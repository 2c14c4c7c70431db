import zipfile

import pytest

from dms_jax.data.datasets.archives import unpack
from dms_jax.errors import UserError


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "..\\x", "C:\\x", "C:x", "\\x"])
def test_unsafe_name_is_refused(tmp_path, name):
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("good.txt", "good")
        info = zipfile.ZipInfo("x")
        info.filename = name
        opened.writestr(info, "evil")
    with pytest.raises(UserError, match=r"evil\.zip holds the unsafe name"):
        unpack(path, tmp_path / "folder")
    assert [p.name for p in tmp_path.rglob("*")] == ["evil.zip"]


def test_link_is_refused(tmp_path):
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as opened:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        opened.writestr(info, "/etc/passwd")
    with pytest.raises(UserError, match="unsafe name 'link'"):
        unpack(path, tmp_path / "folder")
