"""Tausand's PyAbacus (GPL) on a serial port: identity, settings, counts of one gate."""

import json
import os
import sys
import tempfile

import pyAbacus
from pyAbacus import constants

port = os.path.realpath(sys.argv[1])
name = "Tausand Abacus at test"
pyAbacus.setLogfilePath(tempfile.mkdtemp())
constants.DEVICES[name] = port
pyAbacus.core.__dict__.setdefault("DEVICES", constants.DEVICES)[name] = port
pyAbacus.open(name)
told = {"idn": pyAbacus.getIdn(name)}
pyAbacus.setSetting(name, "sampling", 200)
pyAbacus.setSetting(name, "coincidence_window", 25)
pyAbacus.setSetting(name, "delay_B", 10)
settings = pyAbacus.getAllSettings(name)
told["settings"] = [
    settings.getSetting(each) for each in ("sampling", "coincidence_window", "delay_B", "sleep_A")
]
values, number = pyAbacus.waitAndGetValues(name, ["A", "B", "C", "D", "AB", "AC"])
told["values"] = [int(value) for value in values]
told["number"] = number
told["left"] = pyAbacus.getTimeLeft(name)
pyAbacus.close(name)
print()
print(json.dumps(told))
