"""A lab made of a preset, running, shows in its tags and heralds what the fast path says.

Fixed seeds; limits are 4 standard errors.
"""

import math
from pathlib import Path

import numpy as np

from sim_backends.lab import LabConfig, load_lab
from sim_backends.preset_files import load_preset
from sim_backends.preset_lab import preset_files
from sim_backends.preset_run import fast_link
from sim_backends.truth import TruthLog
from sim_backends.world import World


def lab_of(name: str, point: int, folder: Path) -> LabConfig:
    preset = load_preset(name)
    for file, text in preset_files(preset, preset.points[point]).items():
        (folder / file).write_text(text)
    return load_lab(folder / "lab.toml")


def test_tags_of_248_km_have_the_coincidences_and_the_errors(tmp_path: Path) -> None:
    config = lab_of("spdc_248km_neumann2022", 0, tmp_path)
    now_s, seconds = 0.0, 30.0
    world = World(config, now_s=lambda: now_s, truth=TruthLog(None))
    world.lasers["pump"].emission = True
    world.lasers["pump"].current_set_ma = 90.0
    for bank in world.detectors.values():
        bank.enabled = True
        bank.bias_ua = [20.0, 20.0]
    for tagger in world.taggers.values():
        tagger.start()
    delay_ps = 248_000.0 / 2.04e8 * 1e12
    right = wrong = 0
    singles = {"alice": 0, "bob": 0}
    clocks = world.taggers
    for _ in range(round(seconds / 0.02)):
        now_s += 0.02
        world.advance()
        tags = {name: tagger.take_tags() for name, tagger in world.taggers.items()}
        for name in singles:
            singles[name] += tags[name][0].size
        # The offset of the two clocks now, as a synchronised node would know it.
        at = np.array([round(now_s * 1e12)])
        offset = int(
            clocks["bob"].clock.read_many_ps(at)[0] - clocks["alice"].clock.read_many_ps(at)[0]
        )
        for channel in (1, 2):
            mine = tags["alice"][0][tags["alice"][1] == channel] + round(delay_ps) + offset
            for other in (1, 2):
                theirs = tags["bob"][0][tags["bob"][1] == other]
                found = int(
                    np.sum(
                        np.searchsorted(theirs, mine + 57, "right")
                        - np.searchsorted(theirs, mine - 57, "left")
                    )
                )
                right, wrong = (
                    (right + found, wrong) if channel == other else (right, wrong + found)
                )
    arm = 10**-3.95
    expected = 6.12e8 * arm * seconds
    for count in singles.values():
        assert abs(count - expected) < 4 * math.sqrt(expected)
    accidental = (6.12e8 * arm) ** 2 * 115e-12 * seconds
    true = 6.12e8 * arm**2 * seconds
    total = right + wrong
    # Steps of 20 ms cut a few pairs in two: the light is 1.2 ms under way.
    expected = true * (1 - 1.2155 / 20) + accidental
    assert abs(total - expected) < 4 * math.sqrt(expected)
    share = (0.05 * true + 0.5 * accidental) / (true + accidental)
    assert abs(wrong / total - share) < 4 * math.sqrt(share * (1 - share) / total)


def test_heralds_of_a_preset_come_at_its_rate(tmp_path: Path) -> None:
    config = lab_of("nv_2m_humphreys2018", 1, tmp_path)
    preset = load_preset("nv_2m_humphreys2018")
    link = fast_link(preset, preset.points[1])
    now_s = 0.0
    world = World(config, now_s=lambda: now_s, truth=TruthLog(None))
    count, agree = 800, 0
    for _ in range(count):
        for device in (*world.memories.values(), *world.midpoints.values()):
            device.start()
        due_s = world.next_event_s()
        assert due_s is not None
        now_s = due_s
        world.fire_due()
        signs = [world.memories[end].measure(0, "Z") for end in ("alice", "bob")]
        agree += signs[0] == signs[1]
    rate_hz = link.odds.total / link.period_s
    assert abs(count / now_s - rate_hz) < 4 * rate_hz / math.sqrt(count)
    pair = link.odds.mean_pair
    expected = pair[0] + pair[1]
    assert abs(agree / count - expected) < 4 * math.sqrt(expected * (1 - expected) / count)
