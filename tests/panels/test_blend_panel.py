"""The blend panel without a browser: its sounds and pictures against their definition, its words, what it refuses."""

import numpy as np
import pytest
import torch
from refusals import each_refused
from seeding import seeded

import mixlab as mx
from mixlab.domains.spectrogram import FLOOR, log_mel, power
from mixlab.panels.blend_panel.blend_panel import SPECTROGRAMS, WAVES
from mixlab.panels.blend_panel.sounds import blended_spectrograms, blended_waves, sounds

ONE, OTHER = torch.randn(2, 2000, generator=seeded()).unbind()


def test_at_the_ends_lie_the_voices_and_between_them_the_two_kinds_of_blend() -> None:
    waves, rebuilt = blended_waves(ONE, OTHER), blended_spectrograms(ONE, OTHER)
    assert torch.equal(waves[0], OTHER)
    assert torch.equal(waves[10], ONE)
    torch.testing.assert_close(waves[3], 0.3 * ONE + 0.7 * OTHER)
    wanted = 0.3 * (FLOOR + power(ONE)).log() + 0.7 * (FLOOR + power(OTHER)).log()
    far = [float(((FLOOR + power(wave)).log() - wanted).abs().mean()) for wave in (rebuilt[3], waves[3])]
    assert far[0] < 0.7 * far[1]


def test_heat_is_log_mel_and_waves_are_as_loud_as_they_can_be() -> None:
    waves = blended_waves(0.1 * ONE, OTHER)
    heat, heard = sounds(waves)
    np.testing.assert_allclose(heat / 255 * 19 - 14, log_mel(waves).clamp(-14, 5), atol=0.04)
    assert (np.abs(heard.astype(int)).max(1) == 32767).all()


def test_it_says_what_lies_at_its_lam() -> None:
    panel = mx.panels.blend_panel(waves=(ONE, OTHER), words={"a row": lambda lam: {"home": f"{lam:.1f} married"}})
    assert panel.describe() == f"{WAVES}: 0.6 of the first and 0.4 of the second."
    panel.view, panel.lam = "a row", 0.32
    assert panel.lam == 0.3
    assert panel.describe() == "a row: 0.3 of the first and 0.7 of the second. home: 0.3 married."
    assert panel.describe() in panel.still()
    panel.view = SPECTROGRAMS
    assert "spectrograms" in panel.figure().axes[0].get_label()
    lines = mx.panels.blend_panel(lines={"two bells": (ONE[:9], OTHER[:9])})
    drawn = lines.figure().axes[0].lines[2].get_ydata()
    np.testing.assert_allclose(drawn, 0.6 * ONE[:9] + 0.4 * OTHER[:9], rtol=1e-5)


def test_a_wrong_view_is_refused_and_leaves_the_panel() -> None:
    panel = mx.panels.blend_panel(words={"a row": lambda _: {}})
    with pytest.raises(ValueError, match="view must be one of 'a row', got 'rows'"):
        panel.view = "rows"
    assert panel.view == "a row"


test_a_wrong_argument_is_named = each_refused(
    (lambda: mx.panels.blend_panel(), "waves, lines or words must be given"),
    (lambda: mx.panels.blend_panel(waves=ONE), "waves must be two float32 waves"),
    (lambda: mx.panels.blend_panel(waves=(ONE, OTHER[:999])), "waves must be two .* one length"),
    (lambda: mx.panels.blend_panel(lines={"a": (ONE, 3)}), r"lines\['a'\] must be two series"),
    (lambda: mx.panels.blend_panel(lines={"a": (ONE, OTHER[:9])}), r"lines\['a'\] must be two series .* one length"),
    (lambda: mx.panels.blend_panel(waves=(ONE, OTHER), lam=2), "lam must be a number from 0 to 1"),
)
