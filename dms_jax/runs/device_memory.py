"""A device whose memory a run does not fit into, told with the fields that decide how much it takes."""

from collections.abc import Iterator
from contextlib import contextmanager

import jax
from ml_collections import ConfigDict

from dms_jax.errors import UserError, is_full_memory, told_of_full_memory
from dms_jax.models.dms import NETWORKS


@contextmanager
def telling_of_full_memory(config: ConfigDict) -> Iterator[None]:
    """Tell the user of a full device within, instead of showing where XLA noticed it.

    Args:
      config: the run's.

    Raises:
      UserError: what is done within takes more memory than the device has left.
    """
    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        # Some ways from XLA to Python make ValueErrors of all errors.
        if not is_full_memory(error):
            raise
        ways = [f"a smaller config.batch_size than {config.batch_size}"]
        if config.model.network in NETWORKS:
            if config.model.size != "small":
                ways.append(f"a smaller network than size={config.model.size}, such as config.model.size=small")
            if not config.model.remat:
                ways.append("config.model.remat=True (slower)")
        choices = f"{', '.join(ways)} or a smaller config.data.image_size"
        raise UserError(f"{told_of_full_memory(error)}, or choose {choices}.") from error
