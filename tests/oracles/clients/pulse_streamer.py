"""Swabian's `pulsestreamer` (MIT): PulseStreamer, Sequence, triggers, clock, constant output."""

import json
import sys

from pulsestreamer import ClockSource, OutputState, PulseStreamer, TriggerRearm, TriggerStart

box = PulseStreamer(sys.argv[1])
told = {"serial": box.getSerial(), "firmware": box.getFirmwareVersion()}
told["idle"] = [box.isStreaming(), box.hasSequence(), box.hasFinished()]
sequence = box.createSequence()
sequence.setDigital(0, [(100, 0), (20, 1), (880, 0)])
sequence.setDigital(3, [(500, 1), (500, 0)])
box.setTrigger(TriggerStart.IMMEDIATE)
box.stream(sequence, PulseStreamer.REPEAT_INFINITELY, OutputState([7], 0.5, -1.0))
told["running"] = [box.isStreaming(), box.hasSequence(), box.hasFinished()]
box.constant(OutputState([1, 2], 0.0, 0.0))
told["constant"] = box.isStreaming()
box.setTrigger(TriggerStart.HARDWARE_RISING, TriggerRearm.MANUAL)
told["trigger"] = [box.getTriggerStart().name, box.getTriggerRearm().name]
box.stream(sequence, 1)
told["waiting"] = [box.isStreaming(), box.hasSequence()]
box.selectClock(ClockSource.EXT_10MHZ)
told["clock"] = box.getClock().name
told["temperature"] = box.getTemperature()
try:
    box.proxy.makeCoffee()
except Exception as error:
    told["error"] = str(error)
print()
print(json.dumps(told))
