"""Images of any kind that Pillow reads (extra ``images``)."""

import io

import numpy as np

from snnsim.errors import InputError
from snnsim.extras import install_command

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
MOST_PIXELS = 2**26


def decode(data, where):
    """Pixels of one image.

    Parameters
    ----------
    data : bytes
    where : str
        Begins every message.

    Returns
    -------
    ndarray, (H, W, C) uint8
        One channel of grey images and those of one bit, else red, green and blue.

    Raises
    ------
    InputError
        If Pillow is not there or cannot read it.
    """
    try:
        from PIL import Image
    except ImportError:
        raise InputError(f"{where}: images need Pillow: {install_command('images')}") from None
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > MOST_PIXELS:
                raise InputError(f"{where}: {image.width} x {image.height} pixels: must be at most {MOST_PIXELS}")
            grey = image.mode in ("1", "L", "LA", "I", "I;16", "F")
            if image.mode in ("I", "I;16", "F"):
                raise InputError(f"{where}: pixels of more than 8 bits: must be 8 bits a channel")
            pixels = np.asarray(image.convert("L" if grey else "RGB"))
    except InputError:
        raise
    except Exception as error:  # Pillow answers damage with nearly every exception that there is
        raise InputError(f"{where}: cannot be read as an image ({' '.join(str(error).split())[:200]})") from error
    return pixels.reshape(*pixels.shape[:2], -1)
