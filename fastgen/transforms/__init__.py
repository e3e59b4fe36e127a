"""The transformations: fastgen's sixteen, and those of installed packages that declare the entry point below."""

from importlib.metadata import entry_points

from fastgen.transforms import elementwise, order, permute, scan
from fastgen.transforms.base import RECORDS, Record, Step, Transformation, by_code, split_head, transformation

for _plugin in entry_points(group="fastgen.transformations"):
    _plugin.load()

__all__ = [
    "RECORDS",
    "Record",
    "Step",
    "Transformation",
    "by_code",
    "elementwise",
    "order",
    "permute",
    "scan",
    "split_head",
    "transformation",
]
