"""The domain that every stage speaks: people, observations, data sets, protocols, metrics, artifacts.

Importing this package never imports torch; NumPy and Pillow are enough for everything but embedding stores (pyarrow).
"""

from reid.errors import UserError
from reid.modality import Modality
from reid.sample import Sample, Split

__version__ = "0.1.0"

__all__ = ["Modality", "Sample", "Split", "UserError", "__version__"]
