"""Tausand's pyTempico (GPL) on a serial port: settings, status, a measurement."""

import json
import os
import sys

import pyTempico
from pyTempico import core

port = os.path.realpath(sys.argv[1])
# It knows its ports by their USB numbers, which a pseudo terminal has none of.
core.TempicoDevicesSearch.findDevices = lambda self: [port]
core.TempicoDevice.getSerialNumber = lambda self: "TP1004-220500"
box = pyTempico.TempicoDevice(port)
box.open()
told = {"idn": box.getIdn(), "firmware": box.getFirmware(), "model": box.getModelIdn()}
box.reset()
box.setNumberOfRuns(20)
box.setThresholdVoltage(1.2)
box.setMode(1, 1)
for channel in (2, 3, 4):
    box.disableChannel(channel)
told["settings"] = [box.getNumberOfRuns(), box.getThresholdVoltage(), box.getMode(1)]
told["enabled"] = [box.isEnabled(channel) for channel in (1, 2, 3, 4)]
told["status"] = box.getStatus(1)
told["all"] = box.getSettings()
box.getNumberOfRuns()  # after getSettings it holds a text, which its own checks stumble over
told["rows"] = box.measure()
told["clock"] = box.getDatetime()
box.close()
print()
print(json.dumps(told))
