"""Studies in which people judge how alike images are: the web page, its data, and what they say about metrics.

A study is a folder with `study.yaml` (see `Settings`), one SQLite database, the images by the hash of their pixels, and
the secret from which the links of its raters are derived.
"""

from semcomm.ratings.opinions import Opinions
from semcomm.ratings.settings import Exclusion, Settings
from semcomm.ratings.study import Study

__all__ = ["Exclusion", "Opinions", "Settings", "Study"]
