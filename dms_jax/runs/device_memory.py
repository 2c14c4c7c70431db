"""A device whose memory a run does not fit into, told with the fields that decide how much it takes."""

from collections.abc import Iterator
from contextlib import contextmanager

import jax
from ml_collections import ConfigDict

from dms_jax.errors import UserError, first_words, is_full_memory
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
        ways = [f"a smaller config.batch_size than {config.batch_size}", "a smaller config.data.image_size"]
        if config.model.network in NETWORKS and not config.model.remat:
            ways.insert(1, "config.model.remat=True (slower)")
        if config.model.network in NETWORKS and config.model.size != "small":
            ways.insert(1, f"a smaller network than size={config.model.size}, such as config.model.size=small")
        raise UserError(
            f"the device has too little memory ({first_words(error)}): end what else is at work on it, or choose "
            f"{', '.join(ways[:-1])} or {ways[-1]}."
        ) from error
