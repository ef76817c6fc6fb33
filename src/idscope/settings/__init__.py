"""The settings of the process: one table, four sources, every mistake at once, and the first start's `[bootstrap]`."""

from idscope.settings.bootstrap import Bootstrap, BootstrapHub, BootstrapPolicy
from idscope.settings.load import Loaded, load_settings
from idscope.settings.mistakes import Mistake, SettingsMistakes
from idscope.settings.sources import Origin
from idscope.settings.table import ROWS, Settings

__all__ = [
    "ROWS",
    "Bootstrap",
    "BootstrapHub",
    "BootstrapPolicy",
    "Loaded",
    "Mistake",
    "Origin",
    "Settings",
    "SettingsMistakes",
    "load_settings",
]
